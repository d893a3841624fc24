# What ctest runs.
if(SLANT_TESTS OR SLANT_FUZZ)
    find_program(SLANT_PYTHON NAMES python3 REQUIRED)
    enable_testing()
endif()

if(SLANT_TESTS)
    # Every tests/unit/test_*.c is one cmocka program.
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    file(GLOB SLANT_UNIT_TESTS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/unit/test_*.c)
    foreach(source IN LISTS SLANT_UNIT_TESTS)
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE slant_cli slant_static PkgConfig::CMOCKA)
        target_compile_definitions(${name} PRIVATE SLANT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
        add_test(NAME ${name} COMMAND ${name})
        set_tests_properties(${name} PROPERTIES TIMEOUT 900)
    endforeach()

    # The same program as a team of several, where there is a launcher.
    if(TARGET slant_mpi)
        set(SLANT_MPIRUN ${MPIEXEC_EXECUTABLE} --allow-run-as-root --oversubscribe --bind-to none)
        add_dependencies(test_dist slant_mpi)
        add_test(NAME test_dist_ranks COMMAND ${SLANT_MPIRUN} -n 3 $<TARGET_FILE:test_dist>)
        set_tests_properties(test_dist_ranks PROPERTIES TIMEOUT 120
            ENVIRONMENT "ASAN_OPTIONS=detect_leaks=0")
    endif()

    # Every tests/e2e/test_*.py drives the built program, as a person would.
    file(GLOB SLANT_E2E_TESTS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/e2e/test_*.py)
    list(JOIN SLANT_MPIRUN " " mpirun)
    if(NOT TARGET slant_mpi)
        list(FILTER SLANT_E2E_TESTS EXCLUDE REGEX "/test_mpi\\.py$")
    endif()
    foreach(source IN LISTS SLANT_E2E_TESTS)
        get_filename_component(name ${source} NAME_WE)
        string(REPLACE "test_" "e2e_" name ${name})
        add_test(NAME ${name} COMMAND ${SLANT_PYTHON} -B ${source})
        set_tests_properties(${name} PROPERTIES TIMEOUT 600
            ENVIRONMENT "SLANT_PROGRAM=$<TARGET_FILE:slant_program>;SLANT_BUILD_DIR=${CMAKE_BINARY_DIR};SLANT_MPIRUN=${mpirun}")
    endforeach()
endif()

if(SLANT_TESTS AND SLANT_SOURCE_CHECKS)
    add_test(NAME source_layers
        COMMAND ${SLANT_PYTHON} -B ${CMAKE_SOURCE_DIR}/tools/check_layers.py)
    add_test(NAME source_format COMMAND ${CMAKE_SOURCE_DIR}/tools/check_format.sh)
endif()

# Every tests/fuzz/fuzz_*.c is one libFuzzer program; its seeds are in tests/fuzz/seeds/NAME/. As a
# test it runs for a few seconds from a fixed seed; tools/fuzz.sh runs it at length.
if(SLANT_FUZZ)
    file(GLOB SLANT_FUZZERS CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/fuzz/fuzz_*.c)
    foreach(source IN LISTS SLANT_FUZZERS)
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE slant_static)
        # libFuzzer calls it by name.
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS -Wno-missing-prototypes)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
        file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/corpus/${name})
        add_test(NAME ${name} COMMAND ${name} -seed=1 -max_total_time=5 -timeout=20
            -rss_limit_mb=2048 -verbosity=0 -artifact_prefix=${CMAKE_BINARY_DIR}/
            ${CMAKE_BINARY_DIR}/corpus/${name} ${CMAKE_SOURCE_DIR}/tests/fuzz/seeds/${name})
        set_tests_properties(${name} PROPERTIES TIMEOUT 120)
    endforeach()
endif()
