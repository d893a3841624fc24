# The library is all of src/ but the command line; the program is src/cli on top of it.

add_library(slant_options INTERFACE)
target_include_directories(slant_options INTERFACE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(slant_options INTERFACE _GNU_SOURCE _FILE_OFFSET_BITS=64)
target_compile_options(slant_options INTERFACE
    -Wall -Wextra -Wshadow -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith
    -Wwrite-strings -Werror -fno-math-errno -ffp-contract=off)
# Messages are cut on purpose where their buffer ends; gcc would have each such place say so. What it
# takes for uninitialised changes with its version, and is wrong where a status says otherwise.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(slant_options INTERFACE
        -Wno-format-truncation -Wno-error=maybe-uninitialized)
endif()
target_link_libraries(slant_options INTERFACE
    Threads::Threads PkgConfig::JANSSON PkgConfig::PCRE2 PkgConfig::UTF8PROC PkgConfig::GUMBO
    PkgConfig::ZLIB PkgConfig::ZSTD PkgConfig::CRYPTO m)

file(GLOB SLANT_LIBRARY_SOURCES CONFIGURE_DEPENDS
    src/base/*.c src/text/*.c src/formats/*.c src/quant/*.c src/kernels/*.c src/model/*.c
    src/data/*.c src/dist/*.c src/eval/*.c src/train/*.c src/api/*.c)
list(FILTER SLANT_LIBRARY_SOURCES EXCLUDE REGEX "/dist/mpi\\.c$")
include(cmake/Mpi.cmake)

# A kernel file's ending names the instruction sets that it may use; nothing else is compiled for
# more than the baseline, so the program starts on any x86-64 and chooses at run time.
set(FLAGS_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(FLAGS_avxvnni ${FLAGS_avx2} -mavxvnni)
set(FLAGS_avx512 ${FLAGS_avx2} -mavx512f -mavx512bw -mavx512vl -mavx512dq -mprefer-vector-width=512)
set(FLAGS_avx512vnni ${FLAGS_avx512} -mavx512vnni)
set(FLAGS_avx512bf16 ${FLAGS_avx512vnni} -mavx512bf16)
set(FLAGS_amx ${FLAGS_avx512bf16} -mamx-tile -mamx-int8 -mamx-bf16)
foreach(source IN LISTS SLANT_LIBRARY_SOURCES)
    foreach(isa avx2 avxvnni avx512 avx512vnni avx512bf16 amx)
        if(source MATCHES "_${isa}\\.c$")
            set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${FLAGS_${isa}}")
        endif()
    endforeach()
endforeach()

# What `slant --version` says of the build.
string(CONCAT SLANT_BUILT_WITH "${CMAKE_C_COMPILER_ID} ${CMAKE_C_COMPILER_VERSION}, "
    "jansson ${JANSSON_VERSION}, pcre2 ${PCRE2_VERSION}, utf8proc ${UTF8PROC_VERSION}, "
    "gumbo ${GUMBO_VERSION}, zlib ${ZLIB_VERSION}, zstd ${ZSTD_VERSION}, "
    "libcrypto ${CRYPTO_VERSION}, ${SLANT_MPI_NAME}")
set_property(SOURCE src/api/features.c APPEND PROPERTY
    COMPILE_DEFINITIONS "SLANT_BUILT_WITH=\"${SLANT_BUILT_WITH}\"")

add_library(slant_objects OBJECT ${SLANT_LIBRARY_SOURCES})
target_link_libraries(slant_objects PUBLIC slant_options)

# Tests and the program link every symbol; what is installed is made in cmake/Install.cmake.
add_library(slant_static STATIC $<TARGET_OBJECTS:slant_objects>)
set_target_properties(slant_static PROPERTIES OUTPUT_NAME slant_all)
target_link_libraries(slant_static PUBLIC slant_options)

# The program's own rooms: a library too, so that tests can call into them.
file(GLOB SLANT_CLI_SOURCES CONFIGURE_DEPENDS src/cli/*.c)
list(FILTER SLANT_CLI_SOURCES EXCLUDE REGEX "/main\\.c$")
add_library(slant_cli STATIC ${SLANT_CLI_SOURCES})
target_link_libraries(slant_cli PUBLIC slant_static)

add_executable(slant_program src/cli/main.c)
set_target_properties(slant_program PROPERTIES OUTPUT_NAME slant
    RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR})
target_link_libraries(slant_program PRIVATE slant_cli)

# Asked for by name: cmake --build DIR --target kernel_bench, train_bench.
foreach(program kernel_bench train_bench)
    add_executable(${program} EXCLUDE_FROM_ALL bench/${program}.c)
    target_link_libraries(${program} PRIVATE slant_static)
endforeach()
