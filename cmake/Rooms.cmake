# The library is all of src/ but the command line; the program is src/cli on top of it.

add_library(slant_options INTERFACE)
target_include_directories(slant_options INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(slant_options INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_compile_options(slant_options INTERFACE
    -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
    -Wwrite-strings -Werror -fno-math-errno -ffp-contract=off)
target_link_libraries(slant_options INTERFACE
    OpenMP::OpenMP_C PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::GUMBO
    PkgConfig::ZLIB PkgConfig::ZSTD PkgConfig::CRYPTO m)

file(GLOB SLANT_LIBRARY_SOURCES CONFIGURE_DEPENDS
    src/base/*.c src/text/*.c src/formats/*.c src/quant/*.c src/kernels/*.c src/model/*.c
    src/data/*.c src/api/*.c)

# A kernel file's ending names the instruction sets that it may use; nothing else is compiled for
# more than the baseline, so the program starts on any x86-64 and chooses at run time.
set(FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(FLAGS_avx512 ${FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
set(FLAGS_avx512vnni ${FLAGS_avx512} -mavx512vnni)
set(FLAGS_avx512bf16 ${FLAGS_avx512vnni} -mavx512bf16)
set(FLAGS_amx ${FLAGS_avx512bf16} -mamx-tile -mamx-int8 -mamx-bf16)
foreach(source IN LISTS SLANT_LIBRARY_SOURCES)
    foreach(isa avx2 avx512 avx512vnni avx512bf16 amx)
        if(source MATCHES "_${isa}\\.c$")
            set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${FLAGS_${isa}}")
        endif()
    endforeach()
endforeach()

add_library(slant_objects OBJECT ${SLANT_LIBRARY_SOURCES})
target_link_libraries(slant_objects PUBLIC slant_options)

add_library(slant_static STATIC $<TARGET_OBJECTS:slant_objects>)
set_target_properties(slant_static PROPERTIES OUTPUT_NAME slant)
target_link_libraries(slant_static PUBLIC slant_options)

file(GLOB SLANT_CLI_SOURCES CONFIGURE_DEPENDS src/cli/*.c)
if(SLANT_CLI_SOURCES)
    add_executable(slant_program ${SLANT_CLI_SOURCES})
    set_target_properties(slant_program PROPERTIES OUTPUT_NAME slant
        RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
    target_link_libraries(slant_program PRIVATE slant_static)
endif()

# Every tests/unit/test_*.c is one cmocka program.
if(SLANT_TESTS)
    enable_testing()
    pkg_check_modules(CMOCKA REQUIRED IMPORTED_TARGET cmocka)
    file(GLOB SLANT_UNIT_TESTS CONFIGURE_DEPENDS tests/unit/test_*.c)
    foreach(source IN LISTS SLANT_UNIT_TESTS)
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE slant_static PkgConfig::CMOCKA)
        target_compile_definitions(${name} PRIVATE SLANT_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
        add_test(NAME ${name} COMMAND ${name})
        set_tests_properties(${name} PROPERTIES TIMEOUT 300)
    endforeach()
endif()

# Every tests/fuzz/fuzz_*.c is one libFuzzer program; its seeds are in tests/fuzz/seeds/<name>/.
if(SLANT_FUZZ)
    file(GLOB SLANT_FUZZERS CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
    foreach(source IN LISTS SLANT_FUZZERS)
        get_filename_component(name ${source} NAME_WE)
        add_executable(${name} ${source})
        target_link_libraries(${name} PRIVATE slant_static)
        target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    endforeach()
endif()
