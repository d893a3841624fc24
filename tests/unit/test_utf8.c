/* UTF-8 and the Unicode tables. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "text/unicode.h"
#include "text/utf8.h"

#define PREFIX(text) utf8_valid_prefix(text, sizeof(text) - 1)
#define SUBPART(text) utf8_maximal_subpart(text, sizeof(text) - 1)

static void every_character_survives(void **unused)
{
    (void)unused;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        char bytes[4];
        size_t length, n = utf8_encode(c, bytes);
        bool surrogate = c >= 0xD800 && c <= 0xDFFF;
        assert_int_equal(utf8_valid_prefix(bytes, n), surrogate ? 0 : n);
        assert_int_equal(utf8_length((unsigned char)bytes[0]), n);
        assert_int_equal(utf8_decode(bytes, &length), c);
        assert_int_equal(length, n);
        if (n > 1 && !surrogate)
            assert_int_equal(utf8_valid_prefix(bytes, n - 1), 0);
    }
}

/* Of all sequences of three bytes, those are well-formed that the standard's table says are. */
static bool three_bytes_are_well_formed(const unsigned char *b)
{
    unsigned low = b[0] == 0xE0 ? 0xA0 : 0x80, high = b[0] == 0xED ? 0x9F : 0xBF;
    return b[0] >= 0xE0 && b[0] <= 0xEF && b[1] >= low && b[1] <= high && (b[2] & 0xC0) == 0x80;
}

static void three_bytes(void **unused)
{
    (void)unused;
    for (uint32_t first = 0xE0; first < 0x100; first++)
        for (uint32_t rest = 0; rest < 0x10000; rest++) {
            unsigned char b[3] = {(unsigned char)first, (unsigned char)(rest >> 8),
                                  (unsigned char)rest};
            bool good = three_bytes_are_well_formed(b);
            assert_int_equal(utf8_valid_prefix((const char *)b, 3), good ? 3 : 0);
        }
}

static void ill_formed_text(void **unused)
{
    (void)unused;
    assert_int_equal(PREFIX(""), 0);
    assert_int_equal(PREFIX("plain"), 5);
    assert_int_equal(PREFIX("0123456789abcdef0123456789abcdef\x80"), 32);
    assert_int_equal(PREFIX("0123456789abcde\xC3\xA9\xC3"), 17);
    assert_int_equal(PREFIX("a\xC0\xAF"), 1);         /* overlong / */
    assert_int_equal(PREFIX("a\xE0\x9F\xBF"), 1);     /* overlong */
    assert_int_equal(PREFIX("a\xED\xA0\x80"), 1);     /* a surrogate */
    assert_int_equal(PREFIX("a\xF4\x90\x80\x80"), 1); /* above U+10FFFF */
    assert_int_equal(PREFIX("a\xF8\x88\x80\x80\x80"), 1);
    assert_int_equal(PREFIX("a\xE2\x82"), 1);
}

/* The examples of the standard, section 3.9: how many bytes one U+FFFD stands for. */
static void maximal_subparts(void **unused)
{
    (void)unused;
    assert_int_equal(SUBPART("\xC0\xAF"), 1);
    assert_int_equal(SUBPART("\xED\xA0\x80"), 1);
    assert_int_equal(SUBPART("\xF4\x91\x92\x93"), 1);
    assert_int_equal(SUBPART("\xE1\x80\xE2\xF0"), 2);
    assert_int_equal(SUBPART("\xE2\xF0\x91"), 1);
    assert_int_equal(SUBPART("\xF0\x91\x92\xF1"), 3);
    assert_int_equal(SUBPART("\xF1\xBF\x41"), 2);
    assert_int_equal(SUBPART("\x80"), 1);
    assert_int_equal(SUBPART("\xF0\x9F\x98"), 3);
}

static void unicode_16(void **unused)
{
    (void)unused;
    size_t letters = 0, numbers = 0, spaces = 0;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        letters += unicode_is(c, UNICODE_LETTER);
        numbers += unicode_is(c, UNICODE_NUMBER);
        spaces += unicode_is_space(c);
    }
    assert_int_equal(letters, 141028);
    assert_int_equal(numbers, 1911);
    assert_int_equal(spaces, 25);
    assert_int_equal(unicode_category_of('a'), UNICODE_LL);
    assert_int_equal(unicode_category_of(0x10D4A), UNICODE_LO); /* Garay, new in 16.0 */
    assert_int_equal(unicode_category_of(0xD800), UNICODE_CS);
    assert_int_equal(unicode_category_of(0x10FFFF), UNICODE_CN);
    assert_false(unicode_is_space(0x1C));
    assert_false(unicode_is_space(0x180E));
    assert_false(unicode_is_space(0x200B));
    assert_true(unicode_is_word('_') && unicode_is_word(0x200D) && unicode_is_word(0x24B6));
    assert_false(unicode_is_word('-') || unicode_is_word(0xB2));
    assert_true(unicode_is_numeric(0xB2) && unicode_is_numeric(0x11DE0));
    assert_int_equal(unicode_categories_named("L", 1), UNICODE_LETTER);
    assert_int_equal(unicode_categories_named("Lu", 2), UNICODE_BIT(LU));
    assert_int_equal(unicode_categories_named("Lx", 2), 0);
    assert_int_equal(unicode_categories_named("Han", 3), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_survives),
        cmocka_unit_test(three_bytes),
        cmocka_unit_test(ill_formed_text),
        cmocka_unit_test(maximal_subparts),
        cmocka_unit_test(unicode_16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
