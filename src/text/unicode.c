#include "text/unicode.h"

/* What \w has beside categories: the join controls, and the circled and squared letters, which are
 * alphabetic by Other_Alphabetic (all else that is so is a mark, which \w has anyway). */
static const uint32_t word_symbols[][2] = {
    {0x200C, 0x200D}, {0x24B6, 0x24E9}, {0x1F130, 0x1F149}, {0x1F150, 0x1F169}, {0x1F170, 0x1F189}};

static bool in_ranges(const uint32_t (*ranges)[2], size_t n_ranges, uint32_t code_point)
{
    for (size_t i = 0; i < n_ranges; i++)
        if (code_point >= ranges[i][0] && code_point <= ranges[i][1])
            return true;
    return false;
}

bool unicode_is_word(uint32_t code_point)
{
    if (unicode_is(code_point, UNICODE_LETTER | UNICODE_MARK | UNICODE_BIT(ND) | UNICODE_BIT(NL) |
                                   UNICODE_BIT(PC)))
        return true;
    return in_ranges(word_symbols, sizeof word_symbols / sizeof *word_symbols, code_point);
}

bool unicode_is_numeric(uint32_t code_point)
{
    static const uint32_t since_17[][2] = {{0x11DE0, 0x11DE9}, {0x16FF4, 0x16FF6}};
    return unicode_is(code_point, UNICODE_NUMBER) ||
           (code_point > 0x11000 &&
            in_ranges(since_17, sizeof since_17 / sizeof *since_17, code_point));
}

uint32_t unicode_categories_named(const char *name, size_t name_bytes)
{
    static const char *const names[] = {
#define CATEGORY_NAME(name, text) text,
        UNICODE_CATEGORY_LIST(CATEGORY_NAME)
#undef CATEGORY_NAME
    };
    uint32_t categories = 0;
    if (name_bytes < 1 || name_bytes > 2)
        return 0;
    for (int i = 0; i < UNICODE_N_CATEGORIES; i++)
        if (names[i][0] == name[0] && (name_bytes == 1 || names[i][1] == name[1]))
            categories |= UINT32_C(1) << i;
    return categories;
}
