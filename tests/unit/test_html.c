/* Pages: the goldens of tests/golden/html, charsets, inline markup, and markup made to hurt. */
#include "unit.h"

#include "base/file.h"
#include "base/mem.h"
#include "text/html.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

typedef struct extract {
    slant_status status;
    buf text, title;
    slant_error err;
} extract;

static extract extract_bytes(const char *html, size_t html_bytes, bool lossy)
{
    extract e = {0};
    e.status = html_extract(html, html_bytes, lossy, &e.text, &e.title, &e.err);
    return e;
}

static void free_extract(extract *e)
{
    buf_free(&e->text);
    buf_free(&e->title);
}

static const char *string_of(const buf *b)
{
    return b->data == NULL ? "" : b->data;
}

static void expect_article(const char *html, const char *text)
{
    extract e = extract_bytes(html, strlen(html), false);
    assert_int_equal(e.status, SLANT_OK);
    assert_string_equal(string_of(&e.text), text);
    free_extract(&e);
}

static void expect_title(const char *html, const char *title)
{
    extract e = extract_bytes(html, strlen(html), false);
    assert_int_equal(e.status, SLANT_OK);
    assert_string_equal(string_of(&e.title), title);
    free_extract(&e);
}

/* The golden holds the title, a line of three hyphens, the text, and a line's end. */
static void check_golden(const char *folder_path, const char *name)
{
    char path[1000];
    buf html = {0}, golden = {0}, found = {0};
    int stem = (int)(strlen(name) - strlen(".html"));
    snprintf(path, sizeof path, "%s/%s", folder_path, name);
    assert_int_equal(file_read(path, 1 << 20, &html, NULL), SLANT_OK);
    snprintf(path, sizeof path, "%s/%.*s.txt", folder_path, stem, name);
    assert_int_equal(file_read(path, 1 << 20, &golden, NULL), SLANT_OK);
    extract e = extract_bytes(html.data, html.size_bytes, false);
    assert_int_equal(e.status, SLANT_OK);
    buf_printf(&found, "%s\n---\n%s\n", string_of(&e.title), string_of(&e.text));
    if (strcmp(found.data, golden.data) != 0)
        print_error("%s differs from its golden\n", name);
    assert_string_equal(found.data, golden.data);
    free_extract(&e);
    buf_free(&html);
    buf_free(&golden);
    buf_free(&found);
}

static void pages_give_their_goldens(void **state)
{
    (void)state;
    const char *folder_path = SLANT_SOURCE_DIR "/tests/golden/html";
    size_t n_pages = 0;
    DIR *dir = opendir(folder_path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        const char *ending = strrchr(entry->d_name, '.');
        if (ending == NULL || strcmp(ending, ".html") != 0)
            continue;
        check_golden(folder_path, entry->d_name);
        n_pages++;
    }
    closedir(dir);
    assert_true(n_pages >= 15);
}

static void markup_becomes_lines(void **state)
{
    (void)state;
    expect_article("<p>one <b>b</b>o<i>ld</i> , two</p><p>  three\n\n four </p>",
                   "one bold , two\n\nthree four");
    expect_article("<p>a sentence.<br>a line.<br><br/>a paragraph.",
                   "a sentence.\na line.\n\na paragraph.");
    expect_article("<p>Items:</p><ul><li>one.</li> <li>two</li></ul>after.",
                   "Items:\n\none.\ntwo\n\nafter.");
    expect_article("<p>A table.<table><tr><td>a</td><td>b</td></tr><tr><td>c<td>d</table>",
                   "A table.\n\na\tb\nc\td");
    expect_article("<p>Code.<pre>  x\n    y  z</pre>", "Code.\n\n  x\n    y  z");
    expect_article("<p>A&amp;B&nbsp;C &lt;tag&gt; caf&eacute; &#8220;q&#8221; &#x1F600; so&shy;ft.",
                   "A&B C <tag> caf\xC3\xA9 \xE2\x80\x9Cq\xE2\x80\x9D \xF0\x9F\x98\x80 soft.");
    expect_article("<p>x<sub>2</sub> and <span>s</span><span>p</span>.", "x2 and sp.");
    expect_article("<h1>Top</h1><p>Text.</p><h2>Sub</h2><p>More.</p><h2>Last</h2>",
                   "Text.\n\nSub\n\nMore.");
}

static void what_is_not_read_is_left_out(void **state)
{
    (void)state;
    static const char *const left_out[] = {
        "<script>var a = '<p>no</p>';</script>",
        "<style>p { no }</style>",
        "<noscript><p>no</p></noscript>",
        "<template><p>no</p></template>",
        "<nav><p>no</p></nav>",
        "<aside><p>no</p></aside>",
        "<footer><p>no</p></footer>",
        "<svg><text>no</text></svg>",
        "<!-- <p>no</p> -->",
        "<select><option>no</select>",
        "<p hidden>no</p>",
        "<p aria-hidden=true>no</p>",
        "<p style='color:red; display : none'>no</p>",
        "<p style='visibility:hidden'>no</p>",
        "<div class='share-bar'>no</div>",
        "<div id=relatedStories>no</div>",
        "<section class='mostRead box'>no</section>",
        "<div class=newsletter__box>no</div>",
        "<div role=complementary>no</div>",
        "<form><p>no</p></form>",
        "<figure><figcaption>no</figcaption></figure>",
        "<p>Advertisement</p>",
        "<p>ADVERTISEMENT:</p>",
        "<p>Sign up for no</p>",
        "<p><a href=x>no and no and no</a></p>",
        "<ul><li><a href=x>no</a></li><li><a href=y>no</a></li></ul>",
        "<h3>No</h3><ul><li><a href=x>no</a></li><li><a href=y>no</a></li></ul>",
        "<frameset><frame src=x></frameset>",
    };
    static const char sentence[] =
        "The council met on Tuesday and agreed on nothing that had been "
        "put before it, as it had the week before.";
    for (size_t i = 0; i < sizeof left_out / sizeof *left_out; i++) {
        char html[1000], text[1000];
        snprintf(html, sizeof html, "<body><p>%s</p>%s<p>%s</p></body>", sentence, left_out[i],
                 sentence);
        snprintf(text, sizeof text, "%s\n\n%s", sentence, sentence);
        expect_article(html, text);
    }
}

static void headlines_are_found(void **state)
{
    (void)state;
    expect_title(
        "<meta property='og:title' content=' The  story &amp; more '><title>T</title>"
        "<h1>Site</h1>",
        "The story & more");
    expect_title(
        "<title>The headline of the day - Paper</title><h1>Paper</h1>"
        "<h2>The headline of the day</h2>",
        "The headline of the day");
    expect_title("<title>T</title><h1>An <i>h1</i><br>headline</h1>", "An h1 headline");
    expect_title("<title>Something that happened in town | The Paper</title><p>x",
                 "Something that happened in town");
    expect_title("<title>A - B</title><p>x", "A - B");
    expect_title("<svg><title>x</title></svg><p>y", "x");
    expect_title("<p>x", "");
}

static void names_around_everything_do_not_empty_the_page(void **state)
{
    (void)state;
    expect_article(
        "<div class='comments-open sidebar'><div class=newsletter><p>The only sentence on "
        "the page.</p></div></div>",
        "The only sentence on the page.");
    expect_article("<nav>Home</nav>", "");
    expect_article("", "");
    expect_article(" ", "");
    expect_article("Bare words", "Bare words");
}

static void charsets_are_converted(void **state)
{
    (void)state;
    static const struct {
        const char *html;
        size_t html_bytes;
        const char *text;
    } cases[] = {
#define CASE(html, text) {html, sizeof(html) - 1, text}
        CASE("<meta charset=iso-8859-1><p>caf\xE9 \x93q\x94 \x80.",
             "caf\xC3\xA9 \xE2\x80\x9Cq\xE2\x80\x9D "
             "\xE2\x82\xAC."),
        CASE("<META http-equiv=Content-Type content='text/html; charset=Windows-1251'><p>"
             "\xCC\xE8\xF0.",
             "\xD0\x9C\xD0\xB8\xD1\x80."),
        CASE("<?xml version='1.0' encoding='Shift_JIS'?><p>\x93\xFA\x96{.",
             "\xE6\x97\xA5\xE6\x9C\xAC."),
        CASE("<!-- <meta charset=latin1> --><meta charset=gb2312><p>\xD6\xD0\xB9\xFA.",
             "\xE4\xB8\xAD\xE5\x9B\xBD."),
        CASE("\xFF\xFE<\0p\0>\0\xE9\0.\0", "\xC3\xA9."),
        CASE("\xFE\xFF\0<\0p\0>\0\xE9\0.", "\xC3\xA9."),
        CASE("\xEF\xBB\xBF<meta charset=latin1><p>caf\xC3\xA9.", "caf\xC3\xA9."),
        CASE("<meta charset=latin1><p>caf\xC3\xA9.", "caf\xC3\xA9."),
        CASE("<meta charset=utf-16le><p>caf\xC3\xA9.", "caf\xC3\xA9."),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        extract e = extract_bytes(cases[i].html, cases[i].html_bytes, false);
        assert_int_equal(e.status, SLANT_OK);
        assert_string_equal(string_of(&e.text), cases[i].text);
        free_extract(&e);
    }
}

static void ill_formed_bytes_are_refused_or_replaced(void **state)
{
    (void)state;
    static const struct {
        const char *html, *message, *text;
        slant_status status;
    } cases[] = {
        {"<p>caf\xE9!", "the page is not UTF-8 at byte 6 and declares no other charset",
         "caf\xEF\xBF\xBD!", SLANT_ERR_TEXT},
        {"<meta charset=euc-jp><p>\xFF!", "the page is not euc-jp, which it declares, at byte 24",
         "\xEF\xBF\xBD!", SLANT_ERR_TEXT},
        {"<meta charset=klingon><p>\xFF!",
         "the page declares the charset klingon, which is not known here", NULL,
         SLANT_ERR_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        extract e = extract_bytes(cases[i].html, strlen(cases[i].html), false);
        assert_int_equal(e.status, cases[i].status);
        assert_string_equal(e.err.message, cases[i].message);
        free_extract(&e);
        e = extract_bytes(cases[i].html, strlen(cases[i].html), true);
        assert_int_equal(e.status, cases[i].text != NULL ? SLANT_OK : cases[i].status);
        if (cases[i].text != NULL)
            assert_string_equal(string_of(&e.text), cases[i].text);
        free_extract(&e);
    }
}

/* n times opening, a sentence, n times closing. */
static extract extract_nested(const char *opening, const char *closing, size_t n)
{
    buf html = {0};
    for (size_t i = 0; i < n; i++)
        buf_string(&html, opening);
    buf_string(&html, "A sentence at the bottom.");
    for (size_t i = 0; i < n; i++)
        buf_string(&html, closing);
    extract e = extract_bytes(html.data, html.size_bytes, false);
    buf_free(&html);
    return e;
}

static void deep_nesting_is_read(void **state)
{
    (void)state;
    static const char *const tags[][2] = {{"<div>", "</div>"}, {"<x>", "</x>"}, {"<b>", ""},
                                          {"<ul><li>", ""},    {"<svg>", ""},   {"<p><q>", ""}};
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++) {
        extract e = extract_nested(tags[i][0], tags[i][1], 3000);
        assert_int_equal(e.status, SLANT_OK);
        if (strcmp(tags[i][0], "<svg>") != 0)
            assert_string_equal(string_of(&e.text), "A sentence at the bottom.");
        free_extract(&e);
    }
    /* Unknown elements cost the parser nothing, so the tree can become as deep as the page is long.
     */
    extract e = extract_nested("<x>", "<frameset>", 300000);
    assert_int_equal(e.status, SLANT_OK);
    assert_string_equal(string_of(&e.text), "A sentence at the bottom.");
    free_extract(&e);
}

static void tangled_tags_are_given_up(void **state)
{
    (void)state;
    buf html = {0};
    buf_string(&html, "<p>");
    for (int i = 0; i < 4000; i++)
        buf_printf(&html, "<font size=%d>", i);
    for (int i = 0; i < 200000; i++)
        buf_string(&html, "<p>x");
    extract e = extract_bytes(html.data, html.size_bytes, false);
    assert_int_equal(e.status, SLANT_ERR_FORMAT);
    assert_non_null(strstr(e.err.message, "too tangled"));
    free_extract(&e);
    buf_free(&html);
}

static void linked_data_speaks_for_an_absent_body(void **state)
{
    (void)state;
    expect_article(
        "<script type=application/ld+json>[{\"@graph\": [{\"articleBody\": \"One "
        "sentence.\\n\\n Two  of them.\"}]}]</script><p>Loading",
        "One sentence.\n\nTwo of them.");
    expect_article(
        "<script type=application/ld+json>{\"articleBody\": \"<p>One &amp; "
        "two.</p><p>Three.</p>\"}</script>",
        "One & two.\n\nThree.");
    expect_article("<script type=application/ld+json>{\"articleBody\": \"no</script><p>A sentence.",
                   "A sentence.");
    expect_article(
        "<script type=application/ld+json>{\"articleBody\": \"Short.\"}</script><p>The "
        "sentence that is there.",
        "The sentence that is there.");
}

static void memory_may_run_out_anywhere(void **state)
{
    (void)state;
    static const char html[] =
        "<meta charset=latin1><title>T\xE9</title><h1>Headline</h1><p>One "
        "sentence.<ul><li>a<li>b</ul><script type=application/ld+json>"
        "{\"articleBody\":\"x\\n\"}</script>";
    bool failed = true;
    for (uint64_t n = 1; failed; n++) {
        uint64_t before = mem_alloc_count();
        mem_fail_at(n, n % 2 == 0);
        extract e = extract_bytes(html, sizeof html - 1, false);
        failed = mem_alloc_count() - before >= n;
        mem_fail_at(0, false);
        if (e.status == SLANT_OK)
            assert_string_equal(string_of(&e.text), "One sentence.\n\na\nb");
        else
            assert_int_equal(e.status, SLANT_ERR_MEMORY);
        free_extract(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_give_their_goldens),
        cmocka_unit_test(markup_becomes_lines),
        cmocka_unit_test(what_is_not_read_is_left_out),
        cmocka_unit_test(headlines_are_found),
        cmocka_unit_test(names_around_everything_do_not_empty_the_page),
        cmocka_unit_test(charsets_are_converted),
        cmocka_unit_test(ill_formed_bytes_are_refused_or_replaced),
        cmocka_unit_test(deep_nesting_is_read),
        cmocka_unit_test(tangled_tags_are_given_up),
        cmocka_unit_test(linked_data_speaks_for_an_absent_body),
        cmocka_unit_test(memory_may_run_out_anywhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
