/* The shapes of answers, format by format, to the byte. The engine is a stand-in of three labels.
 */
#include "unit.h"

#include "cli/answer.h"

#include <string.h>

static slant_engine_info info = {.model_path = "base.slant",
                                 .architecture = "llama",
                                 .n_layers = 8,
                                 .n_labels = 3,
                                 .dtype_name = "NF4",
                                 .isa = "scalar",
                                 .compute = SLANT_COMPUTE_F32,
                                 .temperature = 1};

const slant_engine_info *slant_engine_get_info(const slant_engine *engine)
{
    (void)engine;
    return &info;
}

const char *slant_engine_label(const slant_engine *engine, int label)
{
    static const char *const labels[] = {"Left", "Center", "Ri\"ght"};
    (void)engine;
    return labels[label];
}

static int order[3];
static const float scores[] = {0.25f, 0.125f, 0.625f};
static const slant_result result = {
    .label = 2, .tokens = 1234, .tokens_read = 512, .truncated = true};
static const slant_result whole = {.label = 2, .tokens = 9, .tokens_read = 9};

static answer_style style(int top_k, double abstain)
{
    return (answer_style){.n_labels = 3, .top_k = top_k, .abstain = abstain, .order = order};
}

/* A run of a good article, a failed one and a good one. */
static void expect(const answer_format *format, answer_style s, const char *want)
{
    const answer answers[] = {
        {.id_json = "17", .file = "a.jsonl", .row = 1, .scores = scores, .result = &result},
        {.id_json = "\"b,\\\"x\"", .file = "a.jsonl", .row = 2, .error = "a.jsonl:2: no \"text\""},
        {.id_json = "\"c.txt:1\"", .file = "c.txt", .row = 1, .scores = scores, .result = &whole},
    };
    buf out = {0};
    if (format->begin != NULL)
        format->begin(&s, &out);
    for (int i = 0; i < 3; i++)
        format->row(&s, &answers[i], i, &out);
    if (format->end != NULL)
        format->end(&s, 3, &out);
    assert_string_equal(out.data, want);
    buf_free(&out);
}

static void json_is_the_pipelines(void **state)
{
    (void)state;
    expect(
        &answer_json, style(0, -1),
        "[[{\"label\": \"Ri\\\"ght\", \"score\": 0.625}, {\"label\": \"Left\", \"score\": 0.25}, "
        "{\"label\": \"Center\", \"score\": 0.125}],\n"
        " {\"error\": \"a.jsonl:2: no \\\"text\\\"\"},\n"
        " [{\"label\": \"Ri\\\"ght\", \"score\": 0.625}, {\"label\": \"Left\", \"score\": 0.25}, "
        "{\"label\": \"Center\", \"score\": 0.125}]]\n");
}

static void json_of_one_label_is_flat(void **state)
{
    (void)state;
    expect(&answer_json, style(1, -1),
           "[{\"label\": \"Ri\\\"ght\", \"score\": 0.625},\n"
           " {\"error\": \"a.jsonl:2: no \\\"text\\\"\"},\n"
           " {\"label\": \"Ri\\\"ght\", \"score\": 0.625}]\n");
    expect(&answer_json, style(1, 0.7),
           "[{\"label\": \"UNSURE\", \"score\": 0.625},\n"
           " {\"error\": \"a.jsonl:2: no \\\"text\\\"\"},\n"
           " {\"label\": \"UNSURE\", \"score\": 0.625}]\n");
}

static void map_is_in_label_order(void **state)
{
    (void)state;
    expect(&answer_map, style(0, -1),
           "[[{\"Left\": 0.25, \"Center\": 0.125, \"Ri\\\"ght\": 0.625}],\n"
           " {\"error\": \"a.jsonl:2: no \\\"text\\\"\"},\n"
           " [{\"Left\": 0.25, \"Center\": 0.125, \"Ri\\\"ght\": 0.625}]]\n");
    expect(&answer_map, style(2, 0.7),
           "[[{\"UNSURE\": 0.625, \"Left\": 0.25, \"Ri\\\"ght\": 0.625}],\n"
           " {\"error\": \"a.jsonl:2: no \\\"text\\\"\"},\n"
           " [{\"UNSURE\": 0.625, \"Left\": 0.25, \"Ri\\\"ght\": 0.625}]]\n");
}

static void jsonl_says_all_of_each(void **state)
{
    (void)state;
    expect(&answer_jsonl, style(0, 0.625),
           "{\"id\": 17, \"label\": \"Ri\\\"ght\", \"score\": 0.625, \"scores\": {\"Left\": 0.25, "
           "\"Center\": 0.125, \"Ri\\\"ght\": 0.625}, \"tokens\": 1234, \"tokens_read\": 512, "
           "\"truncated\": true}\n"
           "{\"id\": \"b,\\\"x\", \"label\": null, \"score\": null, \"scores\": null, "
           "\"tokens\": null, \"tokens_read\": null, \"truncated\": null, "
           "\"error\": \"a.jsonl:2: no \\\"text\\\"\"}\n"
           "{\"id\": \"c.txt:1\", \"label\": \"Ri\\\"ght\", \"score\": 0.625, \"scores\": "
           "{\"Left\": 0.25, \"Center\": 0.125, \"Ri\\\"ght\": 0.625}, \"tokens\": 9, "
           "\"tokens_read\": 9, \"truncated\": false}\n");
}

static void csv_has_the_same_columns(void **state)
{
    (void)state;
    expect(&answer_csv, style(2, 0.626),
           "id,label,score,scores.Left,scores.Center,\"scores.Ri\"\"ght\",tokens,tokens_read,"
           "truncated,error\n"
           "17,UNSURE,0.625,0.25,,0.625,1234,512,true,\n"
           "\"b,\"\"x\",,,,,,,,,\"a.jsonl:2: no \"\"text\"\"\"\n"
           "c.txt:1,UNSURE,0.625,0.25,,0.625,9,9,false,\n");
}

static void table_is_for_a_person(void **state)
{
    (void)state;
    expect(
        &answer_table, style(0, -1),
        "17\n"
        "  Left    ##########                                25.0 %\n"
        "  Center  #####                                     12.5 %\n"
        "  Ri\"ght  #########################                 62.5 %\n"
        "  -> Ri\"ght   1,234 tokens, only 512 read\n"
        "\n"
        "b,\"x\n"
        "  a.jsonl:2: no \"text\"\n"
        "\n"
        "c.txt\n"
        "  Left    ##########                                25.0 %\n"
        "  Center  #####                                     12.5 %\n"
        "  Ri\"ght  #########################                 62.5 %\n"
        "  -> Ri\"ght   9 tokens, all read\n"
        "\n"
        "A supplementary tool, not an arbiter of political bias. What the answers rest on:\n"
        "  model           base.slant (llama, 8 layers; NF4 weights, fp32 products, scalar)\n"
        "  calibration     none: a percentage is the model's own confidence, not the chance that "
        "it is right\n"
        "  unseen outlets  nothing is recorded of how it does on outlets that it never saw\n");
}

static void table_does_not_steer_the_terminal(void **state)
{
    (void)state;
    answer_style s = style(0, -1);
    answer a = {.id_json = "\"x\\u001b[2Jy\"", .file = "f", .row = 3, .error = "bad \x1b[31m"};
    buf out = {0};
    answer_table.row(&s, &a, 0, &out);
    assert_string_equal(out.data, "x?[2Jy\n  bad ?[31m\n\n");
    buf_free(&out);
}

static void logits_have_no_bars(void **state)
{
    (void)state;
    static const float logits[] = {-1.5f, 0.5f, 2.25f};
    answer_style s = style(0, -1);
    answer a = {.id_json = "1", .file = "f", .row = 1, .scores = logits, .result = &whole};
    buf out = {0};
    answer_table.row(&s, &a, 0, &out);
    assert_non_null(strstr(out.data, "  Left       -1.5000\n"));
    assert_null(strchr(out.data, '#'));
    buf_free(&out);
}

static void ties_keep_label_order(void **state)
{
    (void)state;
    static const float even[] = {0.25f, 0.5f, 0.25f};
    answer_style s = style(2, -1);
    answer a = {.id_json = "1", .file = "f", .row = 1, .scores = even, .result = &whole};
    assert_int_equal(answer_rank(&s, &a), 2);
    assert_int_equal(order[0], 1);
    assert_int_equal(order[1], 0);
    assert_int_equal(order[2], 2);
    assert_true(answer_shows(&s, 2, 0));
    assert_false(answer_shows(&s, 2, 2));
}

static void no_articles_are_an_empty_list(void **state)
{
    (void)state;
    answer_style s = style(0, -1);
    buf out = {0};
    answer_json.end(&s, 0, &out);
    assert_string_equal(out.data, "[]\n");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(json_is_the_pipelines),
        cmocka_unit_test(json_of_one_label_is_flat),
        cmocka_unit_test(map_is_in_label_order),
        cmocka_unit_test(jsonl_says_all_of_each),
        cmocka_unit_test(csv_has_the_same_columns),
        cmocka_unit_test(table_is_for_a_person),
        cmocka_unit_test(table_does_not_steer_the_terminal),
        cmocka_unit_test(logits_have_no_bars),
        cmocka_unit_test(ties_keep_label_order),
        cmocka_unit_test(no_articles_are_an_empty_list),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
