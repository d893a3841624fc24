# What `make install` puts in place: the program, the library in two forms that offer the symbols
# which start with slant_ and no others, and the file by which pkg-config finds it.
add_library(slant_shared SHARED $<TARGET_OBJECTS:slant_objects>)
set_target_properties(slant_shared PROPERTIES OUTPUT_NAME slant
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINK_DEPENDS ${CMAKE_SOURCE_DIR}/cmake/slant.map)
target_link_libraries(slant_shared PRIVATE slant_options)
target_link_options(slant_shared PRIVATE
    -Wl,--version-script=${CMAKE_SOURCE_DIR}/cmake/slant.map -Wl,--no-undefined)

add_custom_command(OUTPUT ${CMAKE_BINARY_DIR}/libslant.a
    COMMAND ${CMAKE_LINKER} -r -o slant_one.o $<TARGET_OBJECTS:slant_objects>
    COMMAND ${CMAKE_OBJCOPY} --wildcard --keep-global-symbol=slant_* slant_one.o
    COMMAND ${CMAKE_COMMAND} -E rm -f libslant.a
    COMMAND ${CMAKE_AR} rcs libslant.a slant_one.o
    COMMAND ${CMAKE_COMMAND} -E rm -f slant_one.o
    DEPENDS slant_objects $<TARGET_OBJECTS:slant_objects>
    COMMAND_EXPAND_LISTS VERBATIM COMMENT "Putting the static library together")
add_custom_target(slant_archive ALL DEPENDS ${CMAKE_BINARY_DIR}/libslant.a)

file(RELATIVE_PATH SLANT_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" SLANT_PC_PREFIX ${SLANT_PC_PREFIX})
configure_file(${CMAKE_SOURCE_DIR}/cmake/slant.pc.in ${CMAKE_BINARY_DIR}/slant.pc @ONLY)

install(TARGETS slant_program RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS slant_shared LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
if(TARGET slant_mpi)
    install(TARGETS slant_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/slant)
endif()
install(FILES ${CMAKE_BINARY_DIR}/libslant.a DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
    FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_BINARY_DIR}/slant.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_SOURCE_DIR}/docs/slant.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/slant/models)
install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/NOTICE ${CMAKE_SOURCE_DIR}/README.md
    DESTINATION ${CMAKE_INSTALL_DOCDIR})
