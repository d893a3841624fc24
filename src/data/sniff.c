#include "data/sniff.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define SNIFF_BYTES ((size_t)64 << 10)

slant_input sniff_name(const char *path)
{
    static const struct {
        const char *ending;
        slant_input kind;
    } endings[] = {
        {".txt", SLANT_INPUT_TEXT},    {".text", SLANT_INPUT_TEXT},    {".html", SLANT_INPUT_HTML},
        {".htm", SLANT_INPUT_HTML},    {".xhtml", SLANT_INPUT_HTML},   {".json", SLANT_INPUT_JSON},
        {".jsonl", SLANT_INPUT_JSONL}, {".ndjson", SLANT_INPUT_JSONL}, {".csv", SLANT_INPUT_CSV},
        {".tsv", SLANT_INPUT_TSV},     {".tab", SLANT_INPUT_TSV},
    };
    size_t length = strlen(path);
    if (length > 3 && strcasecmp(path + length - 3, ".gz") == 0)
        length -= 3;
    else if (length > 4 && strcasecmp(path + length - 4, ".zst") == 0)
        length -= 4;
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t n = strlen(endings[i].ending);
        if (length >= n && strncasecmp(path + length - n, endings[i].ending, n) == 0)
            return endings[i].kind;
    }
    return SLANT_INPUT_AUTO;
}

typedef struct view {
    const char *at, *end;
} view;

static bool begins(view v, const char *word)
{
    size_t length = strlen(word);
    return (size_t)(v.end - v.at) >= length && strncasecmp(v.at, word, length) == 0;
}

static view skip_space(view v)
{
    while (v.at < v.end && strchr(" \t\r\n\f", *v.at) != NULL && *v.at != '\0')
        v.at++;
    return v;
}

static const char *binary_name(view v)
{
    static const struct {
        const char *magic;
        size_t magic_bytes;
        const char *name;
    } kinds[] = {
        {"%PDF-", 5, "a PDF"},
        {"PK\x03\x04", 4, "a ZIP archive or an office document"},
        {"\xD0\xCF\x11\xE0", 4, "an office document"},
        {"{\\rtf", 5, "an RTF document"},
        {"\x89PNG", 4, "a picture"},
        {"\xFF\xD8\xFF", 3, "a picture"},
        {"GIF8", 4, "a picture"},
        {"\x7F"
         "ELF",
         4, "a program"},
        {"\xFF\xFE", 2, "UTF-16 text"},
        {"\xFE\xFF", 2, "UTF-16 text"},
        {"BZh", 3, "a bzip2 file"},
        {"\xFD"
         "7zXZ",
         5, "an xz file"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if ((size_t)(v.end - v.at) >= kinds[i].magic_bytes &&
            memcmp(v.at, kinds[i].magic, kinds[i].magic_bytes) == 0)
            return kinds[i].name;
    return memchr(v.at, '\0', (size_t)(v.end - v.at)) != NULL ? "binary data" : NULL;
}

static bool looks_like_html(view v)
{
    v = skip_space(v);
    while (begins(v, "<!--") || begins(v, "<?xml")) {
        const char *close = memchr(v.at + 1, '>', (size_t)(v.end - v.at - 1));
        if (close == NULL)
            return true;
        v.at = close + 1;
        v = skip_space(v);
    }
    return begins(v, "<!doctype html") || begins(v, "<html") || begins(v, "<head") ||
           begins(v, "<body");
}

/* An article may begin with a bracket or a brace; JSON goes on with a quote or another bracket. */
static slant_input looks_like_json(view v)
{
    v = skip_space(v);
    if (v.at == v.end || (*v.at != '{' && *v.at != '['))
        return SLANT_INPUT_AUTO;
    view inside = skip_space((view){v.at + 1, v.end});
    if (inside.at == inside.end || strchr(*v.at == '{' ? "\"}" : "{\"[]", *inside.at) == NULL ||
        *inside.at == '\0')
        return SLANT_INPUT_AUTO;
    const char *newline = memchr(v.at, '\n', (size_t)(v.end - v.at));
    if (*v.at == '[' || newline == NULL)
        return SLANT_INPUT_JSON;
    json_scan scan;
    json_value value;
    json_scan_init(&scan, v.at, (size_t)(newline - v.at));
    bool whole_line =
        json_scan_value(&scan, &value, NULL) == SLANT_OK && json_scan_end(&scan, NULL) == SLANT_OK;
    return whole_line ? SLANT_INPUT_JSONL : SLANT_INPUT_JSON;
}

/* A cell of a first row that could be a field's name; quotes around it are left aside. */
static view header_cell(view *line, char delimiter)
{
    const char *stop = memchr(line->at, delimiter, (size_t)(line->end - line->at));
    view cell = {line->at, stop == NULL ? line->end : stop};
    line->at = stop == NULL ? line->end : stop + 1;
    if (cell.end - cell.at >= 2 && *cell.at == '"' && cell.end[-1] == '"') {
        cell.at++;
        cell.end--;
    }
    return cell;
}

/* Words of letters, digits and the like with single spaces between; none at all is a name, too. */
static bool is_column_name(view cell)
{
    bool after_space = true;
    for (const char *c = cell.at; c < cell.end; c++) {
        bool space = *c == ' ';
        if ((space && after_space) || (!space && strchr("_-.()", *c) == NULL &&
                                       (unsigned char)*c < 0x80 && !isalnum((unsigned char)*c)))
            return false;
        after_space = space;
    }
    return cell.at == cell.end || !after_space;
}

/* Names of columns, two at least, and the article's among them: no sentence looks like that. */
static bool looks_like_table(view v, char delimiter, const fields *wanted)
{
    const char *newline = memchr(v.at, '\n', (size_t)(v.end - v.at));
    view line = {v.at, newline == NULL ? v.end : newline};
    if (line.end > line.at && line.end[-1] == '\r')
        line.end--;
    size_t n_cells = 0;
    bool has_text = false;
    while (line.at < line.end) {
        view cell = header_cell(&line, delimiter);
        if (cell.end - cell.at > 64 || !is_column_name(cell))
            return false;
        has_text |= fields_is_text_name(wanted, cell.at, (size_t)(cell.end - cell.at));
        n_cells++;
    }
    return has_text && n_cells >= 2;
}

slant_status sniff_bytes(feed *f, const fields *wanted, slant_input *kind, slant_error *err)
{
    slant_status status = feed_want(f, SNIFF_BYTES, err);
    *kind = SLANT_INPUT_TEXT;
    if (status == SLANT_ERR_MEMORY || feed_size(f) == 0)
        return status;
    view v = {feed_bytes(f), feed_bytes(f) + feed_size(f)};
    const char *binary = binary_name(v);
    if (binary != NULL)
        return status_fail(err, SLANT_ERR_FORMAT, "expected text, found %s", binary);
    if (begins(v, "\xEF\xBB\xBF"))
        v.at += 3;
    slant_input json = looks_like_json(v);
    if (looks_like_html(v))
        *kind = SLANT_INPUT_HTML;
    else if (json != SLANT_INPUT_AUTO)
        *kind = json;
    else if (looks_like_table(v, ',', wanted))
        *kind = SLANT_INPUT_CSV;
    else if (looks_like_table(v, '\t', wanted))
        *kind = SLANT_INPUT_TSV;
    return SLANT_OK;
}
