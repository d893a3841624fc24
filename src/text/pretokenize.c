/* The pre-tokenizer: each step turns the list of pieces into a finer one, or rewrites the pieces.
 */
#include "text/tokenizer_state.h"

#include <string.h>

/* Matches and the text between them, on their way into the list of pieces by the rules of a
 * split_behavior. A match that waits for its successor is kept in held. */
typedef struct split_sink {
    split_behavior behavior;
    span_list *out;
    size_t first; /* of this piece's parts in out */
    bool previous_match, holds;
    span held;
} split_sink;

static bool sink_push(split_sink *sink, span part)
{
    return part.start == part.end || span_push(sink->out, part.start, part.end);
}

static bool sink_extend(split_sink *sink, span part)
{
    if (sink->out->n == sink->first)
        return sink_push(sink, part);
    sink->out->items[sink->out->n - 1].end = part.end;
    return true;
}

static bool sink_part_with_next(split_sink *sink, span part, bool is_match)
{
    bool ok = true;
    if (sink->holds && !is_match)
        part.start = sink->held.start;
    else if (sink->holds)
        ok = sink_push(sink, sink->held);
    sink->holds = is_match;
    sink->held = part;
    return ok && (is_match || sink_push(sink, part));
}

static bool sink_part(split_sink *sink, span part, bool is_match)
{
    bool after_match = sink->previous_match;
    sink->previous_match = is_match;
    switch (sink->behavior) {
    case SPLIT_REMOVED:
        return is_match || sink_push(sink, part);
    case SPLIT_MERGED_WITH_PREVIOUS:
        return is_match && !after_match ? sink_extend(sink, part) : sink_push(sink, part);
    case SPLIT_MERGED_WITH_NEXT:
        return sink_part_with_next(sink, part, is_match);
    case SPLIT_CONTIGUOUS:
        return is_match == after_match ? sink_extend(sink, part) : sink_push(sink, part);
    default:
        return sink_push(sink, part);
    }
}

static slant_status out_of_memory(slant_error *err)
{
    return status_fail(err, SLANT_ERR_MEMORY, "out of memory");
}

static slant_status split_piece(const pattern *p, const tables_step *step, pattern_scratch *scratch,
                                const char *text, span within, span_list *out, slant_error *err)
{
    bool invert = step->flags & STEP_INVERT;
    split_sink sink = {.behavior = (split_behavior)step->behavior, .out = out, .first = out->n};
    pattern_walk walk = {p, scratch, text, within, within.start, false, 0};
    uint32_t done = within.start;
    bool ok = true, found = true;
    while (ok) {
        span match;
        slant_status status = pattern_walk_next(&walk, &found, &match, err);
        if (status != SLANT_OK)
            return status;
        if (!found)
            break;
        if (done < match.start)
            ok = sink_part(&sink, (span){done, match.start}, invert);
        ok = ok && sink_part(&sink, match, !invert);
        done = match.end;
    }
    if (ok && done < within.end)
        ok = sink_part(&sink, (span){done, within.end}, invert);
    if (ok && sink.holds)
        ok = sink_push(&sink, sink.held);
    return ok ? SLANT_OK : out_of_memory(err);
}

static void swap_spans(tokenizer_state *state)
{
    span_list spans = state->spans;
    state->spans = state->other_spans;
    state->other_spans = spans;
}

static slant_status split_step(tokenizer_state *state, uint32_t i, const char *text,
                               slant_error *err)
{
    const tables_step *step = &state->tokenizer->pretokenizer.steps[i];
    const pattern *p = &state->tokenizer->pretokenizer.patterns[i];
    bool covering = pattern_covers(p->kind) && step->behavior == SPLIT_ISOLATED;
    span_list *out = &state->other_spans;
    out->n = 0;
    for (size_t s = 0; s < state->spans.n; s++) {
        span piece = state->spans.items[s];
        if (covering) {
            if (!pattern_split_covering(p->kind, text, piece, out))
                return out_of_memory(err);
            continue;
        }
        slant_status status =
            split_piece(p, step, state->normalizer.patterns, text, piece, out, err);
        if (status != SLANT_OK)
            return status;
    }
    swap_spans(state);
    return SLANT_OK;
}

static bool begins_with(const char *text, uint32_t n_bytes, const char *prefix,
                        uint32_t prefix_bytes)
{
    return n_bytes >= prefix_bytes && memcmp(text, prefix, prefix_bytes) == 0;
}

static span origin_of(const text_source *source, uint32_t at)
{
    return source->origin == NULL ? (span){at, at + 1} : source->origin[at];
}

/* Copies source bytes [start, end) as they are. */
static bool copy_part(work_text *work, const text_source *source, uint32_t start, uint32_t end)
{
    if (source->origin == NULL)
        return work_append_source(work, source->bytes + start, end - start, start);
    for (uint32_t at = start; at < end; at++)
        if (!work_append(work, source->bytes + at, 1, source->origin[at]))
            return false;
    return true;
}

/* The character at the start of a piece lends its origin to what is put in front of it. */
static span first_origin(const text_source *source, uint32_t at)
{
    if (source->origin != NULL)
        return source->origin[at];
    uint32_t end = at + 1;
    while (end < source->n_bytes && ((unsigned char)source->bytes[end] & 0xC0) == 0x80)
        end++;
    return (span){at, end};
}

/* " " becomes mark; and mark goes in front of a piece that does not begin with it by then. */
static bool metaspace_piece(work_text *work, const text_source *source, span piece,
                            const tables_step *step, const char *mark)
{
    uint32_t mark_bytes = step->a.size_bytes, at = piece.start;
    const char *text = source->bytes + piece.start;
    bool marked = text[0] == ' ' || begins_with(text, piece.end - piece.start, mark, mark_bytes);
    bool wanted = (step->flags & STEP_ALWAYS) ||
                  ((step->flags & STEP_FIRST) && origin_of(source, piece.start).start == 0);
    if (!marked && wanted &&
        !work_append(work, mark, mark_bytes, first_origin(source, piece.start)))
        return false;
    while (at < piece.end) {
        const char *space = memchr(source->bytes + at, ' ', piece.end - at);
        uint32_t end = space == NULL ? piece.end : (uint32_t)(space - source->bytes);
        if (!copy_part(work, source, at, end))
            return false;
        if (space != NULL && !work_append(work, mark, mark_bytes, origin_of(source, end)))
            return false;
        at = space == NULL ? end : end + 1;
    }
    return true;
}

static bool prefix_piece(work_text *work, const text_source *source, span piece)
{
    if (source->bytes[piece.start] != ' ' &&
        !work_append(work, " ", 1, first_origin(source, piece.start)))
        return false;
    return copy_part(work, source, piece.start, piece.end);
}

/* A step that changes the text: all pieces are written anew, one after the other. */
static slant_status rewrite_step(tokenizer_state *state, uint32_t i, text_source *source,
                                 slant_error *err)
{
    const step_set *set = &state->tokenizer->pretokenizer;
    const tables_step *step = &set->steps[i];
    work_text *work = &state->rewritten[source->bytes == state->rewritten[0].bytes];
    work_clear(work, state->options.want_offsets || state->tokenizer->keeps_origins);
    for (size_t s = 0; s < state->spans.n; s++) {
        span piece = state->spans.items[s];
        uint32_t start = work->n;
        bool ok = step->kind == STEP_METASPACE
                      ? metaspace_piece(work, source, piece, step,
                                        tables_string_text(set->tables, step->a))
                      : prefix_piece(work, source, piece);
        if (!ok)
            return out_of_memory(err);
        state->spans.items[s] = (span){start, work->n};
    }
    *source = (text_source){work->bytes, work->aligned ? work->origin : NULL, work->n};
    return SLANT_OK;
}

slant_status pretokenize(tokenizer_state *state, text_source *source, span within, slant_error *err)
{
    const step_set *set = &state->tokenizer->pretokenizer;
    state->spans.n = 0;
    if (within.start < within.end && !span_push(&state->spans, within.start, within.end))
        return out_of_memory(err);
    for (uint32_t i = 0; i < set->n; i++) {
        slant_status status = set->steps[i].kind == STEP_SPLIT
                                  ? split_step(state, i, source->bytes, err)
                                  : rewrite_step(state, i, source, err);
        if (status != SLANT_OK)
            return status;
    }
    return SLANT_OK;
}
