/* tokenizer.json to a definition. What Hugging Face tokenizers would do with a part is either done
 * or the part is refused by its name; truncation and padding, which transformers resets, and the
 * decoder are passed over. */
#include "text/json_reader.h"
#include "text/tokenizer_definition.h"

#include <string.h>

typedef struct template_id {
    json_text name;
    uint32_t id;
} template_id;

typedef struct json_source {
    json_reader r;
    definition *d;
    const char *name;
    slant_error *err;
    slant_status status; /* of the first refusal */
    bool has_model;
    /* The template as it stands in the file: names, and the ids that each name stands for. */
    DEFINITION_LIST(json_text) template_names; /* text NULL: the sequence */
    DEFINITION_LIST(template_id) template_ids;
} json_source;

/* Says why the file is refused, and stops the reader. */
#define refuse(s, code, ...)                                                                       \
    ((s)->status == SLANT_OK && (s)->r.problem == NULL                                             \
         ? (void)((s)->status = status_fail((s)->err, (code), __VA_ARGS__))                        \
         : (void)0,                                                                                \
     json_fail(&(s)->r, "refused"))

static void refuse_type(json_source *s, const char *part, json_text type)
{
    refuse(s, SLANT_ERR_UNSUPPORTED, "%s: %s of type \"%.*s\" is not supported", s->name, part,
           (int)type.size_bytes, type.text);
}

static void refuse_memory(json_source *s)
{
    refuse(s, SLANT_ERR_MEMORY, "%s: out of memory for the tokenizer", s->name);
}

static text_view view_of(json_text text)
{
    return (text_view){text.text, (uint32_t)text.size_bytes};
}

/* A normalizer, a pre-tokenizer or a post-processor: the fields of all of them together. */
typedef struct component {
    json_text type, pattern, content, prepend, replacement, prepend_scheme, behavior;
    bool has_pattern, pattern_is_regex, invert;
    bool add_prefix_space, trim_offsets, use_regex, individual_digits, split;
    bool strip_left, strip_right;
} component;

typedef void (*component_reader)(json_source *s);

/* {"String": …} or {"Regex": …} */
static void read_pattern(json_source *s, component *c)
{
    json_text key;
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &key)) {
        if (!json_text_is(key, "String") && !json_text_is(key, "Regex"))
            refuse_type(s, "a pattern", key);
        c->has_pattern = true;
        c->pattern_is_regex = json_text_is(key, "Regex");
        json_read_text(&s->r, &c->pattern);
    }
}

static void read_field(json_source *s, component *c, json_text key)
{
    const struct {
        const char *name;
        json_text *text;
        bool *flag;
    } fields[] = {
        {"type", &c->type, NULL},
        {"content", &c->content, NULL},
        {"prepend", &c->prepend, NULL},
        {"replacement", &c->replacement, NULL},
        {"prepend_scheme", &c->prepend_scheme, NULL},
        {"behavior", &c->behavior, NULL},
        {"invert", NULL, &c->invert},
        {"add_prefix_space", NULL, &c->add_prefix_space},
        {"trim_offsets", NULL, &c->trim_offsets},
        {"use_regex", NULL, &c->use_regex},
        {"individual_digits", NULL, &c->individual_digits},
        {"split", NULL, &c->split},
        {"strip_left", NULL, &c->strip_left},
        {"strip_right", NULL, &c->strip_right},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (!json_text_is(key, fields[i].name))
            continue;
        if (json_read_null(&s->r))
            return; /* as if it were not there */
        if (fields[i].text != NULL)
            json_read_text(&s->r, fields[i].text);
        else
            json_read_bool(&s->r, fields[i].flag);
        return;
    }
    json_skip(&s->r);
}

/* One piece of a template: {"SpecialToken": {"id": …}} or {"Sequence": {"id": "A"}}. */
static void read_template_piece(json_source *s)
{
    json_text kind, key, id = {0};
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &kind)) {
        bool special = json_text_is(kind, "SpecialToken");
        if (!special && !json_text_is(kind, "Sequence"))
            refuse_type(s, "a template piece", kind);
        if (!json_begin_object(&s->r))
            return;
        while (json_next_key(&s->r, &key)) {
            if (json_text_is(key, "id"))
                json_read_text(&s->r, &id);
            else
                json_skip(&s->r);
        }
        if (!special && !json_text_is(id, "A"))
            refuse(s, SLANT_ERR_UNSUPPORTED, "%s: a template for one text uses another sequence",
                   s->name);
        json_text *name = definition_push(&s->template_names);
        if (name == NULL)
            refuse_memory(s);
        else
            *name = special ? id : (json_text){0};
    }
}

static void read_template(json_source *s)
{
    if (s->template_names.n > 0)
        refuse(s, SLANT_ERR_UNSUPPORTED, "%s: more than one template", s->name);
    if (json_begin_array(&s->r))
        while (json_next_item(&s->r))
            read_template_piece(s);
}

static void read_token_ids(json_source *s, json_text name)
{
    if (!json_begin_array(&s->r))
        return;
    while (json_next_item(&s->r)) {
        template_id *id = definition_push(&s->template_ids);
        if (id == NULL) {
            refuse_memory(s);
            return;
        }
        id->name = name;
        json_read_index(&s->r, &id->id);
    }
}

/* {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}, …} */
static void read_template_tokens(json_source *s)
{
    json_text name, key;
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &name)) {
        if (!json_begin_object(&s->r))
            return;
        while (json_next_key(&s->r, &key)) {
            if (json_text_is(key, "ids"))
                read_token_ids(s, name);
            else
                json_skip(&s->r);
        }
    }
}

/* Reads one component. The members of a Sequence stand under members and are read in passing. */
static void read_component(json_source *s, component *c, const char *members, component_reader read)
{
    json_text key;
    *c = (component){
        .add_prefix_space = true, .trim_offsets = true, .use_regex = true, .split = true};
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &key)) {
        if (json_text_is(key, "pattern") && json_peek(&s->r) == '{') {
            read_pattern(s, c);
        } else if (json_text_is(key, members)) {
            if (json_begin_array(&s->r))
                while (json_next_item(&s->r))
                    read(s);
        } else if (json_text_is(key, "single")) {
            read_template(s);
        } else if (json_text_is(key, "special_tokens")) {
            read_template_tokens(s);
        } else {
            read_field(s, c, key);
        }
    }
}

static definition_step *push_step(json_source *s, bool normalizer, step_kind kind)
{
    definition_step *step =
        normalizer ? definition_push(&s->d->normalize) : definition_push(&s->d->pretokenize);
    if (step == NULL)
        refuse_memory(s);
    else
        step->kind = kind;
    return step;
}

/* The pattern that a component carries, as a step's. */
static void set_pattern(json_source *s, definition_step *step, const component *c)
{
    if (!c->has_pattern) {
        refuse(s, SLANT_ERR_FORMAT, "%s: %.*s has no pattern", s->name, (int)c->type.size_bytes,
               c->type.text);
        return;
    }
    if (c->pattern.size_bytes == 0)
        refuse(s, SLANT_ERR_UNSUPPORTED, "%s: an empty pattern", s->name);
    step->a = view_of(c->pattern);
    step->pattern = c->pattern_is_regex ? pattern_recognise(c->pattern.text, c->pattern.size_bytes)
                                        : PATTERN_LITERAL;
}

static void read_normalizer(json_source *s)
{
    static const struct {
        const char *type;
        step_kind kind;
    } kinds[] = {{"NFC", STEP_NFC},     {"NFD", STEP_NFD},         {"NFKC", STEP_NFKC},
                 {"NFKD", STEP_NFKD},   {"Prepend", STEP_PREPEND}, {"Lowercase", STEP_LOWERCASE},
                 {"Strip", STEP_STRIP}, {"Replace", STEP_REPLACE}};
    component c;
    read_component(s, &c, "normalizers", read_normalizer);
    if (s->r.problem != NULL || json_text_is(c.type, "Sequence"))
        return;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!json_text_is(c.type, kinds[i].type))
            continue;
        definition_step *step = push_step(s, true, kinds[i].kind);
        if (step == NULL)
            return;
        step->flags = (c.strip_left ? STEP_LEFT : 0) | (c.strip_right ? STEP_RIGHT : 0);
        if (step->kind == STEP_PREPEND)
            step->a = view_of(c.prepend);
        if (step->kind == STEP_REPLACE) {
            set_pattern(s, step, &c);
            step->b = view_of(c.content);
        }
        return;
    }
    refuse_type(s, "a normalizer", c.type);
}

static split_behavior behavior_of(json_source *s, const component *c)
{
    static const char *const names[SPLIT_N_BEHAVIORS] = {
        [SPLIT_ISOLATED] = "Isolated",
        [SPLIT_REMOVED] = "Removed",
        [SPLIT_MERGED_WITH_PREVIOUS] = "MergedWithPrevious",
        [SPLIT_MERGED_WITH_NEXT] = "MergedWithNext",
        [SPLIT_CONTIGUOUS] = "Contiguous"};
    for (int i = 0; i < SPLIT_N_BEHAVIORS; i++)
        if (json_text_is(c->behavior, names[i]))
            return (split_behavior)i;
    if (c->behavior.text != NULL)
        refuse_type(s, "a split behavior", c->behavior);
    return SPLIT_ISOLATED;
}

static void push_split(json_source *s, pattern_kind kind, split_behavior behavior, uint32_t flags)
{
    definition_step *step = push_step(s, false, STEP_SPLIT);
    if (step == NULL)
        return;
    step->pattern = kind;
    step->behavior = behavior;
    step->flags = flags;
}

static void add_split(json_source *s, const component *c)
{
    split_behavior behavior = behavior_of(s, c);
    definition_step *step = push_step(s, false, STEP_SPLIT);
    if (step == NULL)
        return;
    set_pattern(s, step, c);
    step->behavior = behavior;
    step->flags = c->invert ? STEP_INVERT : 0;
}

static void add_byte_level(json_source *s, const component *c)
{
    if (c->add_prefix_space)
        push_step(s, false, STEP_PREFIX_SPACE);
    if (c->use_regex)
        push_split(s, PATTERN_GPT2, SPLIT_ISOLATED, 0);
    s->d->flags |= TABLES_BYTE_LEVEL;
}

static void add_metaspace(json_source *s, const component *c)
{
    uint32_t flags = STEP_ALWAYS;
    if (json_text_is(c->prepend_scheme, "first"))
        flags = STEP_FIRST;
    else if (json_text_is(c->prepend_scheme, "never"))
        flags = 0;
    else if (c->prepend_scheme.text != NULL && !json_text_is(c->prepend_scheme, "always"))
        refuse_type(s, "a prepend_scheme", c->prepend_scheme);
    if (!c->add_prefix_space && flags != 0)
        refuse(s, SLANT_ERR_FORMAT, "%s: Metaspace: add_prefix_space and prepend_scheme disagree",
               s->name);
    if (c->replacement.size_bytes == 0)
        refuse(s, SLANT_ERR_FORMAT, "%s: Metaspace has no replacement", s->name);
    definition_step *step = push_step(s, false, STEP_METASPACE);
    if (step == NULL)
        return;
    step->a = view_of(c->replacement);
    step->flags = flags;
    if (!c->split)
        return;
    push_split(s, PATTERN_LITERAL, SPLIT_MERGED_WITH_NEXT, 0);
    if (s->r.problem == NULL)
        s->d->pretokenize.items[s->d->pretokenize.n - 1].a = view_of(c->replacement);
}

static void read_pretokenizer(json_source *s)
{
    component c;
    read_component(s, &c, "pretokenizers", read_pretokenizer);
    if (s->r.problem != NULL || json_text_is(c.type, "Sequence"))
        return;
    if (s->d->flags & TABLES_BYTE_LEVEL)
        refuse(s, SLANT_ERR_UNSUPPORTED, "%s: a pre-tokenizer (%.*s) after ByteLevel", s->name,
               (int)c.type.size_bytes, c.type.text);
    else if (json_text_is(c.type, "Split"))
        add_split(s, &c);
    else if (json_text_is(c.type, "ByteLevel"))
        add_byte_level(s, &c);
    else if (json_text_is(c.type, "Metaspace"))
        add_metaspace(s, &c);
    else if (json_text_is(c.type, "Digits"))
        push_split(s, PATTERN_NUMBER, c.individual_digits ? SPLIT_ISOLATED : SPLIT_CONTIGUOUS, 0);
    else if (json_text_is(c.type, "WhitespaceSplit"))
        push_split(s, PATTERN_SPACE, SPLIT_REMOVED, 0);
    else if (json_text_is(c.type, "Whitespace"))
        push_split(s, PATTERN_WORDS, SPLIT_REMOVED, STEP_INVERT);
    else
        refuse_type(s, "a pre-tokenizer", c.type);
}

static bool same_text(json_text a, json_text b)
{
    return a.size_bytes == b.size_bytes && memcmp(a.text, b.text, a.size_bytes) == 0;
}

/* The ids of one special token of the template, in front of the text or behind it. */
static void add_template_token(json_source *s, json_text name, bool leading)
{
    bool any = false;
    for (size_t i = 0; i < s->template_ids.n; i++) {
        if (!same_text(s->template_ids.items[i].name, name))
            continue;
        uint32_t *id = leading ? definition_push(&s->d->leading) : definition_push(&s->d->trailing);
        if (id == NULL) {
            refuse_memory(s);
            return;
        }
        *id = s->template_ids.items[i].id;
        any = true;
    }
    if (!any)
        refuse(s, SLANT_ERR_FORMAT,
               "%s: the template's token \"%.*s\" is not among its special_tokens", s->name,
               (int)name.size_bytes, name.text);
}

static void add_template(json_source *s)
{
    bool leading = true;
    for (size_t i = 0; i < s->template_names.n && s->r.problem == NULL; i++) {
        json_text name = s->template_names.items[i];
        if (name.text != NULL)
            add_template_token(s, name, leading);
        else if (leading)
            leading = false;
        else
            refuse(s, SLANT_ERR_UNSUPPORTED, "%s: a template that repeats its text", s->name);
    }
    if (leading)
        refuse(s, SLANT_ERR_UNSUPPORTED, "%s: a template without the text", s->name);
}

static void read_processor(json_source *s)
{
    component c;
    read_component(s, &c, "processors", read_processor);
    if (s->r.problem != NULL || json_text_is(c.type, "Sequence"))
        return;
    if (json_text_is(c.type, "TemplateProcessing"))
        add_template(s);
    else if (!json_text_is(c.type, "ByteLevel"))
        refuse_type(s, "a post-processor", c.type);
    else if (c.trim_offsets)
        s->d->flags |= TABLES_TRIM_OFFSETS | (c.add_prefix_space ? TABLES_KEEP_PREFIX : 0);
}

static void read_added_token(json_source *s)
{
    json_text key;
    bool single_word = false, lstrip = false, rstrip = false, normalized = false, special = false;
    const struct {
        const char *name;
        bool *flag;
    } flags[] = {{"single_word", &single_word},
                 {"lstrip", &lstrip},
                 {"rstrip", &rstrip},
                 {"normalized", &normalized},
                 {"special", &special}};
    definition_added *added = definition_push(&s->d->added);
    if (added == NULL) {
        refuse_memory(s);
        return;
    }
    added->id = TABLES_NO_ID;
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &key)) {
        json_text content;
        size_t i = 0;
        while (i < 5 && !json_text_is(key, flags[i].name))
            i++;
        if (i < 5)
            json_read_bool(&s->r, flags[i].flag);
        else if (json_text_is(key, "id"))
            json_read_index(&s->r, &added->id);
        else if (!json_text_is(key, "content"))
            json_skip(&s->r);
        else if (json_read_text(&s->r, &content))
            added->content = view_of(content);
    }
    if (added->id == TABLES_NO_ID || added->content.size_bytes == 0)
        refuse(s, SLANT_ERR_FORMAT, "%s: an added token without id or content", s->name);
    added->normalized = normalized;
    added->flags = PIECE_ADDED | (single_word ? PIECE_SINGLE_WORD : 0) |
                   (lstrip ? PIECE_LSTRIP : 0) | (rstrip ? PIECE_RSTRIP : 0) |
                   (special ? PIECE_SPECIAL : 0);
}

static void read_vocab(json_source *s)
{
    json_text token;
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &token)) {
        definition_token *entry = definition_push(&s->d->vocab);
        if (entry == NULL) {
            refuse_memory(s);
            return;
        }
        entry->text = view_of(token);
        json_read_index(&s->r, &entry->id);
    }
}

/* "left right" */
static bool split_merge(json_text line, json_text parts[2])
{
    const char *space = memchr(line.text, ' ', line.size_bytes);
    if (space == NULL)
        return false;
    parts[0] = (json_text){line.text, (size_t)(space - line.text)};
    parts[1] = (json_text){space + 1, line.size_bytes - parts[0].size_bytes - 1};
    return memchr(parts[1].text, ' ', parts[1].size_bytes) == NULL;
}

/* ["left", "right"] */
static bool read_merge_pair(json_source *s, json_text parts[2])
{
    size_t n = 0;
    json_text extra;
    if (!json_begin_array(&s->r))
        return false;
    while (json_next_item(&s->r) && json_read_text(&s->r, n < 2 ? &parts[n] : &extra))
        n++;
    return n == 2;
}

static void read_merges(json_source *s)
{
    static const char version[] = "#version";
    if (!json_begin_array(&s->r))
        return;
    while (json_next_item(&s->r)) {
        json_text line, parts[2];
        bool good;
        if (json_peek(&s->r) == '[') {
            good = read_merge_pair(s, parts);
        } else if (!json_read_text(&s->r, &line)) {
            return;
        } else if (line.size_bytes >= sizeof version - 1 &&
                   memcmp(line.text, version, sizeof version - 1) == 0) {
            continue;
        } else {
            good = split_merge(line, parts);
        }
        if (!good) {
            refuse(s, SLANT_ERR_FORMAT, "%s: merge %zu is not a pair", s->name, s->d->merges.n);
            return;
        }
        definition_merge *merge = definition_push(&s->d->merges);
        if (merge == NULL) {
            refuse_memory(s);
            return;
        }
        *merge =
            (definition_merge){view_of(parts[0]), view_of(parts[1]), (uint32_t)s->d->merges.n - 1};
    }
}

/* Dropout other than null and 0 makes encoding random. */
static void read_dropout(json_source *s)
{
    json_peek(&s->r);
    const char *start = s->r.at;
    json_skip(&s->r);
    for (const char *c = start; c < s->r.at && *start != 'n'; c++)
        if (*c != '0' && *c != '.')
            refuse(s, SLANT_ERR_UNSUPPORTED, "%s: BPE dropout is not supported", s->name);
}

static void read_model_flag(json_source *s, uint32_t flag)
{
    bool value = false;
    if (!json_read_null(&s->r) && json_read_bool(&s->r, &value) && value)
        s->d->flags |= flag;
}

/* Fields that may be null, and must be empty strings otherwise. */
static void read_empty(json_source *s, json_text key)
{
    json_text text;
    if (!json_read_null(&s->r) && json_read_text(&s->r, &text) && text.size_bytes > 0)
        refuse(s, SLANT_ERR_UNSUPPORTED, "%s: BPE with a %.*s is not supported", s->name,
               (int)key.size_bytes, key.text);
}

static void read_model_field(json_source *s, json_text key)
{
    json_text text;
    if (json_text_is(key, "vocab") && json_peek(&s->r) == '{') {
        read_vocab(s);
    } else if (json_text_is(key, "merges")) {
        read_merges(s);
    } else if (json_text_is(key, "dropout")) {
        read_dropout(s);
    } else if (json_text_is(key, "unk_token")) {
        if (!json_read_null(&s->r) && json_read_text(&s->r, &text))
            s->d->unk_token = view_of(text);
    } else if (json_text_is(key, "continuing_subword_prefix") ||
               json_text_is(key, "end_of_word_suffix")) {
        read_empty(s, key);
    } else if (json_text_is(key, "fuse_unk")) {
        read_model_flag(s, TABLES_FUSE_UNK);
    } else if (json_text_is(key, "byte_fallback")) {
        read_model_flag(s, TABLES_BYTE_FALLBACK);
    } else if (json_text_is(key, "ignore_merges")) {
        read_model_flag(s, TABLES_IGNORE_MERGES);
    } else if (json_text_is(key, "type")) {
        if (json_read_text(&s->r, &text) && !json_text_is(text, "BPE"))
            refuse_type(s, "a model", text);
    } else {
        json_skip(&s->r);
    }
}

static void read_model(json_source *s)
{
    json_text key;
    s->has_model = true;
    if (!json_begin_object(&s->r))
        return;
    while (json_next_key(&s->r, &key))
        read_model_field(s, key);
}

static void read_part(json_source *s, json_text key)
{
    static const struct {
        const char *name;
        component_reader read;
    } parts[] = {{"normalizer", read_normalizer},
                 {"pre_tokenizer", read_pretokenizer},
                 {"post_processor", read_processor},
                 {"model", read_model}};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (json_text_is(key, parts[i].name)) {
            if (!json_read_null(&s->r))
                parts[i].read(s);
            return;
        }
    json_text version;
    if (json_text_is(key, "added_tokens")) {
        if (!json_read_null(&s->r) && json_begin_array(&s->r))
            while (json_next_item(&s->r))
                read_added_token(s);
    } else if (json_text_is(key, "version")) {
        if (json_read_text(&s->r, &version) && !json_text_is(version, "1.0"))
            refuse_type(s, "a tokenizer.json", version);
    } else {
        json_skip(&s->r);
    }
}

static slant_status report(const json_source *s)
{
    if (s->status != SLANT_OK)
        return s->status;
    if (s->r.problem != NULL)
        return status_fail(s->err, s->r.out_of_memory ? SLANT_ERR_MEMORY : SLANT_ERR_FORMAT,
                           "%s: byte %zu: %s", s->name, (size_t)(s->r.at - s->r.begin),
                           s->r.problem);
    if (!s->has_model)
        return status_fail(s->err, SLANT_ERR_FORMAT, "%s: no model: not a tokenizer.json", s->name);
    return SLANT_OK;
}

slant_status definition_from_json(definition *d, const char *json, size_t json_bytes,
                                  const char *name, slant_error *err)
{
    json_source s = {.d = d, .name = name, .err = err};
    json_text key;
    if (json_bytes > INT32_MAX)
        return status_fail(err, SLANT_ERR_UNSUPPORTED, "%s: a tokenizer.json of %zu bytes", name,
                           json_bytes);
    json_reader_init(&s.r, json, json_bytes, &d->strings);
    if (json_begin_object(&s.r))
        while (json_next_key(&s.r, &key))
            read_part(&s, key);
    json_finish(&s.r);
    d->added_follow_vocab = true;
    mem_free(s.template_names.items);
    mem_free(s.template_ids.items);
    return report(&s);
}
