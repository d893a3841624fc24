# Several machines: what knows MPI is a module of its own, src/dist/mpi.c, which is loaded where mpirun
# started the process. So the program starts as fast and runs as well where Open MPI is not.
option(SLANT_MPI "build the module for mpirun where Open MPI is installed" ON)
set(SLANT_MPI_NAME "no MPI")
if(SLANT_MPI)
    set(MPI_DETERMINE_LIBRARY_VERSION ON)
    find_package(MPI QUIET COMPONENTS C)
endif()
if(SLANT_MPI AND MPI_C_FOUND AND MPI_C_LIBRARY_VERSION_STRING MATCHES "^Open MPI v([0-9.]+)")
    set(SLANT_MPI_NAME "Open MPI ${CMAKE_MATCH_1}")
    add_library(slant_mpi MODULE src/dist/mpi.c)
    set_target_properties(slant_mpi PROPERTIES
        PREFIX "" C_VISIBILITY_PRESET hidden LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    foreach(kind INCLUDE_DIRECTORIES COMPILE_DEFINITIONS COMPILE_OPTIONS)
        set_property(TARGET slant_mpi PROPERTY ${kind}
            $<TARGET_PROPERTY:slant_options,INTERFACE_${kind}>)
    endforeach()
    target_link_libraries(slant_mpi PRIVATE MPI::MPI_C)

    file(RELATIVE_PATH from_program
        /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR}/slant/slant_mpi.so)
    set_property(SOURCE src/dist/launch.c APPEND PROPERTY
        COMPILE_DEFINITIONS SLANT_MPI "SLANT_MPI_FROM_PROGRAM=\"${from_program}\"")
endif()
