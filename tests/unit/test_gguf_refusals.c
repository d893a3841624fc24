/* GGUF: every malformed file with its message. */
#include "unit.h"

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"
#include "formats/gguf.h"

#include <string.h>

#define GOLDEN SLANT_SOURCE_DIR "/tests/golden/formats/every_type.gguf"

/* A file of one's own making. */

static void put_u32(buf *b, uint32_t value)
{
    buf_append(b, &value, sizeof value);
}

static void put_u64(buf *b, uint64_t value)
{
    buf_append(b, &value, sizeof value);
}

static void put_bytes(buf *b, const char *bytes, size_t size_bytes)
{
    put_u64(b, size_bytes);
    buf_append(b, bytes, size_bytes);
}

static void put_string(buf *b, const char *string)
{
    put_bytes(b, string, strlen(string));
}

static void put_header(buf *b, uint32_t version, uint64_t n_tensors, uint64_t n_entries)
{
    buf_string(b, "GGUF");
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_entries);
}

static void put_key(buf *b, const char *key, uint32_t type)
{
    put_string(b, key);
    put_u32(b, type);
}

static void put_int(buf *b, const char *key, uint32_t value)
{
    put_key(b, key, GGUF_U32);
    put_u32(b, value);
}

enum { TYPE_F32 = 0, TYPE_Q4_0 = 2, TYPE_Q4_K = 12, TYPE_IQ4_XS = 23 };

static void put_tensor(buf *b, const char *name, uint64_t dim0, uint64_t dim1, uint32_t type,
                       uint64_t offset)
{
    put_string(b, name);
    put_u32(b, 2);
    put_u64(b, dim0);
    put_u64(b, dim1);
    put_u32(b, type);
    put_u64(b, offset);
}

static void put_data(buf *b, size_t size_bytes)
{
    while (b->size_bytes % 32 != 0)
        buf_char(b, 0);
    for (size_t i = 0; i < size_bytes; i++)
        buf_char(b, (char)i);
}

static void good(buf *b)
{
    put_header(b, 3, 2, 1);
    put_int(b, "general.alignment", 64);
    put_tensor(b, "b", 4, 2, TYPE_F32, 64);
    put_tensor(b, "a", 8, 1, TYPE_F32, 0);
    while (b->size_bytes % 64 != 0)
        buf_char(b, 0);
    put_data(b, 96);
}

static void version_2(buf *b)
{
    put_header(b, 2, 0, 0);
}

static void version_1(buf *b)
{
    put_header(b, 1, 0, 0);
}

static void version_4(buf *b)
{
    put_header(b, 4, 0, 0);
}

static void big_endian(buf *b)
{
    put_header(b, 0x03000000, 0, 0);
}

static void other_magic(buf *b)
{
    buf_string(b, "GGML");
    put_data(b, 64);
}

static void many_entries(buf *b)
{
    put_header(b, 3, 0, UINT64_MAX);
    put_data(b, 64);
}

static void many_tensors(buf *b)
{
    put_header(b, 3, 3, 0);
    put_data(b, 64);
}

static void long_key(buf *b)
{
    put_header(b, 3, 0, 1);
    put_u64(b, UINT64_MAX);
    put_data(b, 64);
}

static void huge_key(buf *b)
{
    put_header(b, 3, 0, 1);
    put_u64(b, 70000);
    for (int i = 0; i < 70000 + 16; i++)
        buf_char(b, 'k');
}

static void empty_key(buf *b)
{
    put_header(b, 3, 0, 1);
    put_int(b, "", 1);
    put_data(b, 64);
}

static void odd_key(buf *b)
{
    put_header(b, 3, 0, 1);
    put_int(b, "a\x1B[0m", 1);
    put_data(b, 64);
}

static void key_twice(buf *b)
{
    put_header(b, 3, 0, 2);
    put_int(b, "a", 1);
    put_int(b, "a", 2);
}

static void unknown_value_type(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", 13);
    put_data(b, 64);
}

static void long_string(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", GGUF_STRING);
    put_u64(b, 1000);
    put_data(b, 64);
}

static void string_with_nul(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", GGUF_STRING);
    put_bytes(b, "x\0y", 3);
}

static void long_array(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", GGUF_ARRAY);
    put_u32(b, GGUF_U8);
    put_u64(b, UINT64_MAX / 2);
    put_data(b, 64);
}

static void array_cut_short(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", GGUF_ARRAY);
    put_u32(b, GGUF_U64);
    put_u64(b, 9);
    for (int i = 0; i < 64; i++)
        buf_char(b, 0);
}

static void string_array_cut_short(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", GGUF_ARRAY);
    put_u32(b, GGUF_STRING);
    put_u64(b, 2);
    put_string(b, "x");
    put_u64(b, 2);
    buf_char(b, 'y');
}

static void array_of_arrays(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "a", GGUF_ARRAY);
    put_u32(b, GGUF_ARRAY);
    put_u64(b, 1);
    put_data(b, 64);
}

static void alignment_0(buf *b)
{
    put_header(b, 3, 0, 1);
    put_int(b, "general.alignment", 0);
}

static void alignment_48(buf *b)
{
    put_header(b, 3, 0, 1);
    put_int(b, "general.alignment", 48);
}

static void alignment_string(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "general.alignment", GGUF_STRING);
    put_string(b, "32");
}

static void split_model(buf *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "split.count", GGUF_U16);
    buf_append(b, "\3\0", 2);
}

static void no_dimensions(buf *b)
{
    put_header(b, 3, 1, 0);
    put_string(b, "t");
    put_u32(b, 0);
    put_data(b, 64);
}

static void five_dimensions(buf *b)
{
    put_header(b, 3, 1, 0);
    put_string(b, "t");
    put_u32(b, 5);
    put_data(b, 64);
}

static void zero_dimension(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 4, 0, TYPE_F32, 0);
}

static void overflowing_shape(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 1ULL << 62, 1ULL << 62, TYPE_F32, 0);
    put_data(b, 64);
}

static void negative_dimension(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", UINT64_MAX, 1, TYPE_F32, 0);
    put_data(b, 64);
}

static void k_quant(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "blk.0.attn_q.weight", 256, 1, TYPE_Q4_K, 0);
    put_data(b, 144);
}

static void i_quant(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "blk.0.ffn_up.weight", 256, 1, TYPE_IQ4_XS, 0);
    put_data(b, 144);
}

static void unknown_tensor_type(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 256, 1, 99, 0);
    put_data(b, 144);
}

static void ragged_rows(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 48, 2, TYPE_Q4_0, 0);
    put_data(b, 54);
}

static void odd_offset(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 4, 1, TYPE_F32, 16);
    put_data(b, 64);
}

static void far_offset(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 4, 1, TYPE_F32, UINT64_MAX - 31);
    put_data(b, 64);
}

static void data_cut_short(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 16, 1, TYPE_F32, 0);
    put_data(b, 63);
}

static void no_data(buf *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "t", 1, 1, TYPE_F32, 0);
}

static void overlap(buf *b)
{
    put_header(b, 3, 2, 0);
    put_tensor(b, "late", 4, 1, TYPE_F32, 32);
    put_tensor(b, "long", 9, 1, TYPE_F32, 0);
    put_data(b, 64);
}

static void tensor_twice(buf *b)
{
    put_header(b, 3, 2, 0);
    put_tensor(b, "t", 4, 1, TYPE_F32, 0);
    put_tensor(b, "t", 4, 1, TYPE_F32, 32);
    put_data(b, 64);
}

/* Opens an own copy of the bytes, so that the sanitizer sees a read beyond their end. */
static slant_status open_copy(const char *bytes, size_t size_bytes, slant_error *err)
{
    gguf *g = NULL;
    uint8_t *copy = mem_alloc(size_bytes, 1);
    if (size_bytes > 0)
        memcpy(copy, bytes, size_bytes);
    *err = (slant_error){0};
    slant_status status = gguf_open_memory(copy, size_bytes, "x.gguf", &g, err);
    assert_int_equal(status == SLANT_OK, g != NULL);
    gguf_close(g);
    mem_free(copy);
    return status;
}

static void malformed_files_are_refused(void **state)
{
    (void)state;
    static const struct {
        void (*make)(buf *b);
        slant_status status;
        const char *message;
    } cases[] = {
        {good, SLANT_OK, ""},
        {version_2, SLANT_OK, ""},
        {version_1, SLANT_ERR_UNSUPPORTED, "GGUF version 1; slant reads versions 2 and 3"},
        {version_4, SLANT_ERR_UNSUPPORTED, "GGUF version 4"},
        {big_endian, SLANT_ERR_UNSUPPORTED, "big-endian"},
        {other_magic, SLANT_ERR_FORMAT, "does not begin with the letters GGUF"},
        {many_entries, SLANT_ERR_FORMAT, "18446744073709551615 metadata entries cannot fit"},
        {many_tensors, SLANT_ERR_FORMAT, "3 tensors cannot fit into the 72 bytes"},
        {long_key, SLANT_ERR_FORMAT, "metadata entry 1 of 1: a string of 18446744073709551615"},
        {huge_key, SLANT_ERR_FORMAT, "its name has 70000 bytes"},
        {empty_key, SLANT_ERR_FORMAT, "metadata entry 1 of 1: its name has 0 bytes"},
        {odd_key, SLANT_ERR_FORMAT, "byte 1 of its name, 0x1B, is not printable"},
        {key_twice, SLANT_ERR_FORMAT, "metadata key 'a' is there twice"},
        {unknown_value_type, SLANT_ERR_FORMAT, "metadata 'a': value type 13 is unknown"},
        {long_string, SLANT_ERR_FORMAT, "metadata 'a': a string of 1000 bytes does not fit"},
        {string_with_nul, SLANT_ERR_FORMAT, "metadata 'a': its string holds a NUL"},
        {long_array, SLANT_ERR_FORMAT, "metadata 'a': an array of 9223372036854775807 items"},
        {array_cut_short, SLANT_ERR_FORMAT, "metadata 'a': truncated"},
        {string_array_cut_short, SLANT_ERR_FORMAT,
         "metadata 'a': a string of 2 bytes does not fit"},
        {array_of_arrays, SLANT_ERR_UNSUPPORTED, "metadata 'a': arrays of arrays"},
        {alignment_0, SLANT_ERR_FORMAT, "'general.alignment' is not a power of two"},
        {alignment_48, SLANT_ERR_FORMAT, "'general.alignment' is not a power of two"},
        {alignment_string, SLANT_ERR_FORMAT, "'general.alignment' is not a power of two"},
        {split_model, SLANT_ERR_UNSUPPORTED, "one of 3 files of a split model"},
        {no_dimensions, SLANT_ERR_FORMAT, "tensor 't': 0 dimensions"},
        {five_dimensions, SLANT_ERR_FORMAT, "tensor 't': 5 dimensions"},
        {zero_dimension, SLANT_ERR_FORMAT, "tensor 't': a dimension of 0"},
        {negative_dimension, SLANT_ERR_FORMAT, "tensor 't': a dimension of 18446744073709551615"},
        {overflowing_shape, SLANT_ERR_FORMAT, "tensor 't': its shape overflows"},
        {k_quant, SLANT_ERR_UNSUPPORTED, "tensor 'blk.0.attn_q.weight': type Q4_K is not one"},
        {i_quant, SLANT_ERR_UNSUPPORTED, "tensor 'blk.0.ffn_up.weight': type IQ4_XS is not one"},
        {unknown_tensor_type, SLANT_ERR_UNSUPPORTED, "tensor 't': ggml type number 99 is unknown"},
        {ragged_rows, SLANT_ERR_FORMAT, "tensor 't': rows of 48 values are not whole Q4_0 blocks"},
        {odd_offset, SLANT_ERR_FORMAT, "tensor 't': its offset 16 is not a multiple of 32"},
        {far_offset, SLANT_ERR_FORMAT, "tensor 't': truncated: 16 bytes at offset 1844"},
        {data_cut_short, SLANT_ERR_FORMAT, "tensor 't': truncated: 64 bytes at offset 0"},
        {no_data, SLANT_ERR_FORMAT, "tensor 't': truncated: 4 bytes at offset 0"},
        {overlap, SLANT_ERR_FORMAT, "tensor 'late': its data overlaps that of 'long'"},
        {tensor_twice, SLANT_ERR_FORMAT, "tensor 't' is there twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        slant_error err;
        buf file = {0};
        cases[i].make(&file);
        slant_status status = open_copy(file.data, file.size_bytes, &err);
        if (status != cases[i].status || strstr(err.message, cases[i].message) == NULL)
            fail_msg("case %zu: status %d, message \"%s\"; expected %d, \"%s\"", i, status,
                     err.message, cases[i].status, cases[i].message);
        if (status != SLANT_OK)
            assert_memory_equal(err.message, "x.gguf: ", 8);
        buf_free(&file);
    }
}

static void truncated_files_are_refused(void **state)
{
    (void)state;
    slant_error err;
    buf file = {0};
    gguf *g = NULL;
    assert_int_equal(gguf_open(GOLDEN, &g, &err), SLANT_OK);
    size_t end = 0;
    assert_int_equal(file_read(GOLDEN, 1 << 20, &file, &err), SLANT_OK);
    const uint8_t *first = gguf_at(g, 0)->data;
    for (size_t i = 0; i < gguf_count(g); i++) {
        size_t tensor_end = (size_t)(gguf_at(g, i)->data - first) + gguf_at(g, i)->size_bytes;
        end = tensor_end > end ? tensor_end : end;
    }
    gguf_close(g);
    size_t padded = (end + 31) / 32 * 32; /* behind the last tensor */
    for (size_t size_bytes = 0; size_bytes < file.size_bytes - (padded - end); size_bytes++)
        assert_int_equal(open_copy(file.data, size_bytes, &err), SLANT_ERR_FORMAT);
    assert_int_equal(open_copy(file.data, file.size_bytes - (padded - end), &err), SLANT_OK);
    buf_free(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_files_are_refused),
        cmocka_unit_test(truncated_files_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
