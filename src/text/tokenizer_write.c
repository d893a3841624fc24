/* The tables back as a tokenizer.json: what tokenizer_open_json makes of it gives the same ids. */
#include "base/mem.h"
#include "text/tokenizer_state.h"

#include <stdlib.h>
#include <string.h>

typedef struct json_target {
    const tables *t;
    const char *name; /* of the tokenizer, for messages */
    buf *out;
    bool *normalized;     /* [n_ids]: added tokens that are found in the normalized text */
    tables_merge *merges; /* [n_merges], by rank */
    size_t n_merges;
    slant_error *err;
    slant_status status; /* of the first thing that tokenizer.json cannot say */
} json_target;

static slant_status out_of_memory(const json_target *w)
{
    return status_fail(w->err, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", w->name);
}

static void refuse(json_target *w, const char *what)
{
    if (w->status == SLANT_OK)
        w->status = status_fail(w->err, SLANT_ERR_UNSUPPORTED, "%s: tokenizer.json cannot say %s",
                                w->name, what);
}

static void put(json_target *w, const char *text)
{
    buf_string(w->out, text);
}

static void put_piece(json_target *w, uint32_t id)
{
    size_t n_bytes;
    const char *text = tables_piece_text(w->t, id, &n_bytes);
    if (text == NULL)
        refuse(w, "what an id without a token stands for");
    else
        buf_json_string(w->out, text, n_bytes);
}

static void put_string(json_target *w, tables_string string)
{
    buf_json_string(w->out, tables_string_text(w->t, string), string.size_bytes);
}

static void put_flag(json_target *w, const char *key, bool value)
{
    buf_printf(w->out, ",\"%s\":%s", key, value ? "true" : "false");
}

static void put_added(json_target *w)
{
    bool any = false;
    put(w, "\"added_tokens\":[");
    for (uint32_t id = 0; id < w->t->n_ids; id++) {
        uint32_t flags = w->t->pieces[id].flags;
        if (!(flags & PIECE_ADDED))
            continue;
        buf_printf(w->out, "%s\n{\"id\":%u,\"content\":", any ? "," : "", id);
        put_piece(w, id);
        put_flag(w, "single_word", flags & PIECE_SINGLE_WORD);
        put_flag(w, "lstrip", flags & PIECE_LSTRIP);
        put_flag(w, "rstrip", flags & PIECE_RSTRIP);
        put_flag(w, "normalized", w->normalized[id]);
        put_flag(w, "special", flags & PIECE_SPECIAL);
        put(w, "}");
        any = true;
    }
    put(w, "]");
}

/* {"String": …} or {"Regex": …}; the patterns that are known by kind alone have one text each. */
static void put_pattern(json_target *w, const tables_step *step)
{
    const char *usual = pattern_text((pattern_kind)step->pattern);
    put(w, step->pattern == PATTERN_LITERAL ? ",\"pattern\":{\"String\":"
                                            : ",\"pattern\":{\"Regex\":");
    if (step->a.size_bytes > 0)
        put_string(w, step->a);
    else if (usual != NULL)
        buf_json_string(w->out, usual, strlen(usual));
    else
        refuse(w, "a pattern without its text");
    put(w, "}");
}

static void put_normalizer_step(json_target *w, const tables_step *step)
{
    static const char *const types[STEP_N_KINDS] = {
        [STEP_NFC] = "NFC",     [STEP_NFD] = "NFD",         [STEP_NFKC] = "NFKC",
        [STEP_NFKD] = "NFKD",   [STEP_PREPEND] = "Prepend", [STEP_LOWERCASE] = "Lowercase",
        [STEP_STRIP] = "Strip", [STEP_REPLACE] = "Replace"};
    buf_printf(w->out, "{\"type\":\"%s\"", types[step->kind]);
    if (step->kind == STEP_STRIP) {
        put_flag(w, "strip_left", step->flags & STEP_LEFT);
        put_flag(w, "strip_right", step->flags & STEP_RIGHT);
    } else if (step->kind == STEP_PREPEND) {
        put(w, ",\"prepend\":");
        put_string(w, step->a);
    } else if (step->kind == STEP_REPLACE) {
        put_pattern(w, step);
        put(w, ",\"content\":");
        put_string(w, step->b);
    }
    put(w, "}");
}

static void put_normalizer(json_target *w)
{
    if (w->t->n_normalize == 0) {
        put(w, "\"normalizer\":null");
        return;
    }
    put(w, "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[");
    for (uint32_t i = 0; i < w->t->n_normalize; i++) {
        put(w, i > 0 ? "," : "");
        put_normalizer_step(w, &w->t->normalize[i]);
    }
    put(w, "]}");
}

static bool splits_on(const tables_step *step, pattern_kind kind, split_behavior behavior,
                      uint32_t flags)
{
    return step->kind == STEP_SPLIT && step->pattern == kind && step->behavior == behavior &&
           step->flags == flags;
}

/* Splits that have a type of their own; NULL for all others. */
static const char *named_split(const tables_step *step)
{
    if (splits_on(step, PATTERN_NUMBER, SPLIT_ISOLATED, 0))
        return "{\"type\":\"Digits\",\"individual_digits\":true}";
    if (splits_on(step, PATTERN_NUMBER, SPLIT_CONTIGUOUS, 0))
        return "{\"type\":\"Digits\",\"individual_digits\":false}";
    if (splits_on(step, PATTERN_WORDS, SPLIT_REMOVED, STEP_INVERT))
        return "{\"type\":\"Whitespace\"}";
    if (splits_on(step, PATTERN_SPACE, SPLIT_REMOVED, 0) && step->a.size_bytes == 0)
        return "{\"type\":\"WhitespaceSplit\"}";
    return NULL;
}

static void put_split(json_target *w, const tables_step *step)
{
    static const char *const behaviors[SPLIT_N_BEHAVIORS] = {
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous"};
    const char *named = named_split(step);
    if (named != NULL) {
        put(w, named);
        return;
    }
    put(w, "{\"type\":\"Split\"");
    put_pattern(w, step);
    buf_printf(w->out, ",\"behavior\":\"%s\"", behaviors[step->behavior]);
    put_flag(w, "invert", step->flags & STEP_INVERT);
    put(w, "}");
}

/* Whether the step behind a Metaspace is the split that it brings along. */
static bool is_split_of(const tables *t, const tables_step *metaspace, const tables_step *next)
{
    return splits_on(next, PATTERN_LITERAL, SPLIT_MERGED_WITH_NEXT, 0) &&
           next->a.size_bytes == metaspace->a.size_bytes &&
           memcmp(tables_string_text(t, next->a), tables_string_text(t, metaspace->a),
                  next->a.size_bytes) == 0;
}

static void put_metaspace(json_target *w, const tables_step *step, bool splits)
{
    put(w, "{\"type\":\"Metaspace\",\"replacement\":");
    put_string(w, step->a);
    buf_printf(w->out, ",\"prepend_scheme\":\"%s\"",
               step->flags & STEP_FIRST    ? "first"
               : step->flags & STEP_ALWAYS ? "always"
                                           : "never");
    put_flag(w, "split", splits);
    put(w, "}");
}

/* The steps [0, n), each behind a comma but the first. */
static void put_pretokenizer_steps(json_target *w, uint32_t n)
{
    const tables_step *steps = w->t->pretokenize;
    for (uint32_t i = 0; i < n; i++) {
        put(w, i > 0 ? "," : "");
        if (steps[i].kind == STEP_SPLIT) {
            put_split(w, &steps[i]);
        } else if (steps[i].kind == STEP_METASPACE) {
            bool splits = i + 1 < n && is_split_of(w->t, &steps[i], &steps[i + 1]);
            put_metaspace(w, &steps[i], splits);
            i += splits;
        } else {
            refuse(w, "a prefix space without ByteLevel");
        }
    }
}

/* ByteLevel comes last, with the prefix space and the split that it may bring along. */
static void put_pretokenizer(json_target *w)
{
    const tables_step *steps = w->t->pretokenize;
    uint32_t n = w->t->n_pretokenize;
    bool byte_level = w->t->flags & TABLES_BYTE_LEVEL, use_regex = false, prefix = false;
    if (byte_level && n > 0 && splits_on(&steps[n - 1], PATTERN_GPT2, SPLIT_ISOLATED, 0) &&
        steps[n - 1].a.size_bytes == 0) {
        use_regex = true;
        n--;
    }
    if (byte_level && n > 0 && steps[n - 1].kind == STEP_PREFIX_SPACE) {
        prefix = true;
        n--;
    }
    if (n == 0 && !byte_level) {
        put(w, "\"pre_tokenizer\":null");
        return;
    }
    put(w, "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[");
    put_pretokenizer_steps(w, n);
    if (byte_level) {
        put(w, n > 0 ? "," : "");
        put(w, "{\"type\":\"ByteLevel\"");
        put_flag(w, "add_prefix_space", prefix);
        put_flag(w, "trim_offsets", true);
        put_flag(w, "use_regex", use_regex);
        put(w, "}");
    }
    put(w, "]}");
}

static void put_special(json_target *w, uint32_t id, int type_id)
{
    put(w, "{\"SpecialToken\":{\"id\":");
    put_piece(w, id);
    buf_printf(w->out, ",\"type_id\":%d}},", type_id);
}

/* What stands around one text, and the text; a comma behind all. */
static void put_around(json_target *w, const char *sequence, int type_id)
{
    for (uint32_t i = 0; i < w->t->n_leading; i++)
        put_special(w, w->t->leading[i], type_id);
    buf_printf(w->out, "{\"Sequence\":{\"id\":\"%s\",\"type_id\":%d}},", sequence, type_id);
    for (uint32_t i = 0; i < w->t->n_trailing; i++)
        put_special(w, w->t->trailing[i], type_id);
}

static void drop_comma(json_target *w)
{
    if (!w->out->failed)
        w->out->size_bytes--;
}

static uint32_t template_id(const tables *t, uint32_t i)
{
    return i < t->n_leading ? t->leading[i] : t->trailing[i - t->n_leading];
}

static void put_template_tokens(json_target *w)
{
    uint32_t n = w->t->n_leading + w->t->n_trailing;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t id = template_id(w->t, i), before = 0;
        while (before < i && template_id(w->t, before) != id)
            before++;
        if (before < i)
            continue;
        put_piece(w, id);
        put(w, ":{\"id\":");
        put_piece(w, id);
        buf_printf(w->out, ",\"ids\":[%u],\"tokens\":[", id);
        put_piece(w, id);
        put(w, "]},");
    }
    drop_comma(w);
}

static void put_template(json_target *w)
{
    put(w, "{\"type\":\"TemplateProcessing\",\"single\":[");
    put_around(w, "A", 0);
    drop_comma(w);
    put(w, "],\"pair\":[");
    put_around(w, "A", 0);
    put_around(w, "B", 1);
    drop_comma(w);
    put(w, "],\"special_tokens\":{");
    put_template_tokens(w);
    put(w, "}}");
}

static void put_processor(json_target *w)
{
    bool trims = w->t->flags & TABLES_TRIM_OFFSETS;
    bool has_template = w->t->n_leading + w->t->n_trailing > 0;
    put(w, "\"post_processor\":");
    if (!trims && !has_template) {
        put(w, "null");
        return;
    }
    put(w, "{\"type\":\"Sequence\",\"processors\":[");
    if (trims) {
        put(w, "{\"type\":\"ByteLevel\"");
        put_flag(w, "add_prefix_space", w->t->flags & TABLES_KEEP_PREFIX);
        put_flag(w, "trim_offsets", true);
        put_flag(w, "use_regex", true);
        put(w, has_template ? "}," : "}");
    }
    if (has_template)
        put_template(w);
    put(w, "]}");
}

/* Hugging Face numbers added tokens that the vocabulary lacks on from its size: where their ids are
 * others, they have to stand in the vocabulary too. */
static bool added_follow(const tables *t)
{
    uint32_t n_model = 0, lowest = t->n_ids, n_others = 0;
    for (uint32_t id = 0; id < t->n_ids; id++) {
        uint32_t flags = t->pieces[id].flags;
        n_model += (flags & PIECE_MODEL) != 0;
        if ((flags & PIECE_PRESENT) && !(flags & PIECE_MODEL)) {
            lowest = id < lowest ? id : lowest;
            n_others++;
        }
    }
    return n_others == 0 || (lowest == n_model && lowest + n_others == t->n_ids);
}

static void put_vocab(json_target *w)
{
    uint32_t wanted = added_follow(w->t) ? PIECE_MODEL : PIECE_PRESENT;
    bool any = false;
    put(w, ",\"vocab\":{");
    for (uint32_t id = 0; id < w->t->n_ids; id++) {
        if (!(w->t->pieces[id].flags & wanted))
            continue;
        put(w, any ? ",\n" : "\n");
        put_piece(w, id);
        buf_printf(w->out, ":%u", id);
        any = true;
    }
    put(w, "}");
}

static void put_model(json_target *w)
{
    uint32_t unk = w->t->header->unk_id;
    put(w, "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":");
    if (unk == TABLES_NO_ID)
        put(w, "null");
    else
        put_piece(w, unk);
    put(w, ",\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null");
    put_flag(w, "fuse_unk", w->t->flags & TABLES_FUSE_UNK);
    put_flag(w, "byte_fallback", w->t->flags & TABLES_BYTE_FALLBACK);
    put_flag(w, "ignore_merges", w->t->flags & TABLES_IGNORE_MERGES);
    put_vocab(w);
    put(w, ",\"merges\":[");
    for (size_t i = 0; i < w->n_merges; i++) {
        put(w, i > 0 ? ",\n[" : "\n[");
        put_piece(w, w->merges[i].left);
        put(w, ",");
        put_piece(w, w->merges[i].right);
        put(w, "]");
    }
    put(w, "]}");
}

static int by_rank(const void *a, const void *b)
{
    const tables_merge *x = a, *y = b;
    return x->rank != y->rank ? (x->rank > y->rank) - (x->rank < y->rank)
                              : (x->left > y->left) - (x->left < y->left);
}

static slant_status gather(json_target *w)
{
    const tables *t = w->t;
    w->normalized = mem_calloc(t->n_ids, sizeof *w->normalized);
    w->merges = mem_alloc(t->n_merges, sizeof *w->merges);
    if (w->normalized == NULL || w->merges == NULL)
        return out_of_memory(w);
    for (uint32_t i = 0; i < t->normal.n_nodes; i++)
        if (t->normal.nodes[i].token > 0 && t->normal.nodes[i].token <= t->n_ids)
            w->normalized[t->normal.nodes[i].token - 1] = true;
    for (uint32_t i = 0; i < t->n_merges; i++)
        if (t->merges[i].left != TABLES_NO_ID)
            w->merges[w->n_merges++] = t->merges[i];
    if (w->n_merges > 1)
        qsort(w->merges, w->n_merges, sizeof *w->merges, by_rank);
    return SLANT_OK;
}

static void put_all(json_target *w)
{
    void (*const parts[])(json_target *) = {put_added, put_normalizer, put_pretokenizer,
                                            put_processor, put_model};
    if (w->t->flags & TABLES_UNK_MISSING)
        refuse(w, "an unknown token that is not in the vocabulary");
    put(w, "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\n");
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        parts[i](w);
        put(w, ",\n");
    }
    put(w, w->t->flags & TABLES_BYTE_LEVEL
               ? "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":true,"
                 "\"trim_offsets\":true,\"use_regex\":true}}\n"
               : "\"decoder\":null}\n");
}

slant_status tokenizer_to_json(const tokenizer *t, const char *name, buf *out, slant_error *err)
{
    json_target w = {.t = &t->tables, .name = name, .out = out, .err = err};
    slant_status status = gather(&w);
    if (status == SLANT_OK) {
        put_all(&w);
        status = w.status == SLANT_OK && out->failed ? out_of_memory(&w) : w.status;
    }
    mem_free(w.normalized);
    mem_free(w.merges);
    return status;
}
