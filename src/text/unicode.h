/* Unicode 16.0 character properties: what the tokenizer's patterns ask of a code point. The tables
 * are generated (tools/make_unicode_tables.py). */
#ifndef SLANT_TEXT_UNICODE_H
#define SLANT_TEXT_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
/* General categories, in the order of the generated table. */
#define UNICODE_CATEGORY_LIST(X)                                                                   \
    X(CN, "Cn") X(LU, "Lu") X(LL, "Ll") X(LT, "Lt") X(LM, "Lm") X(LO, "Lo") X(MN, "Mn")            \
    X(MC, "Mc") X(ME, "Me") X(ND, "Nd") X(NL, "Nl") X(NO, "No") X(PC, "Pc") X(PD, "Pd")            \
    X(PS, "Ps") X(PE, "Pe") X(PI, "Pi") X(PF, "Pf") X(PO, "Po") X(SM, "Sm") X(SC, "Sc")            \
    X(SK, "Sk") X(SO, "So") X(ZS, "Zs") X(ZL, "Zl") X(ZP, "Zp") X(CC, "Cc") X(CF, "Cf")            \
    X(CS, "Cs") X(CO, "Co")

typedef enum unicode_category {
#define UNICODE_CATEGORY_ENUM(name, text) UNICODE_##name,
    UNICODE_CATEGORY_LIST(UNICODE_CATEGORY_ENUM)
#undef UNICODE_CATEGORY_ENUM
        UNICODE_N_CATEGORIES
} unicode_category;

/* clang-format on */
/* Sets of categories: one bit each. */
#define UNICODE_BIT(name) (UINT32_C(1) << UNICODE_##name)
#define UNICODE_LETTER                                                                             \
    (UNICODE_BIT(LU) | UNICODE_BIT(LL) | UNICODE_BIT(LT) | UNICODE_BIT(LM) | UNICODE_BIT(LO))
#define UNICODE_MARK (UNICODE_BIT(MN) | UNICODE_BIT(MC) | UNICODE_BIT(ME))
#define UNICODE_NUMBER (UNICODE_BIT(ND) | UNICODE_BIT(NL) | UNICODE_BIT(NO))

extern const unsigned short unicode_index[0x110000 / 128];
extern const unsigned char unicode_blocks[];

static inline unicode_category unicode_category_of(uint32_t code_point)
{
    return (
        unicode_category)unicode_blocks[unicode_index[code_point >> 7] * 128u + (code_point & 127)];
}

/* Whether code_point, at most 0x10FFFF, is in one of the categories. */
static inline bool unicode_is(uint32_t code_point, uint32_t categories)
{
    return categories >> unicode_category_of(code_point) & 1;
}

/* White_Space: what \s means to Hugging Face's patterns. */
static inline bool unicode_is_space(uint32_t code_point)
{
    if (code_point < 0x80)
        return code_point == ' ' || (code_point >= '\t' && code_point <= '\r');
    return code_point == 0x85 ||
           unicode_is(code_point, UNICODE_BIT(ZS) | UNICODE_BIT(ZL) | UNICODE_BIT(ZP));
}

/* \w as the Rust regex crate has it: alphabetic characters, marks, decimal digits, connector
 * punctuation and the two join controls. */
bool unicode_is_word(uint32_t code_point);

/* A numeric character as Rust has it: category N, of Unicode 17. */
bool unicode_is_numeric(uint32_t code_point);

/* The categories that a property's name stands for ("L", "Lu", "N", …); 0: no such name. */
uint32_t unicode_categories_named(const char *name, size_t name_bytes);

/* Code points beyond ASCII that case folding turns into a single ASCII letter. */
typedef struct unicode_fold {
    uint32_t code_point;
    char letter;
} unicode_fold;
#define UNICODE_N_ASCII_FOLDS 2
extern const unicode_fold unicode_ascii_folds[UNICODE_N_ASCII_FOLDS];

/* Code points whose category changed after Unicode 14.0, nearly all of them assigned since. */
typedef struct unicode_range {
    uint32_t first, last;
    unicode_category category;
} unicode_range;
extern const unicode_range unicode_newer[];
extern const size_t unicode_n_newer;

#endif
