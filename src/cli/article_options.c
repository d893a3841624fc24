#include "cli/article_options.h"

slant_reader_options input_options_reader(const input_options *o, const char *trained_title)
{
    return (slant_reader_options){
        .input = (slant_input)o->input,
        .text_field = o->text_field,
        .title_field = o->title_field != NULL ? o->title_field : trained_title,
        .id_field = o->id_field,
        .recursive = o->recursive,
        .lossy = o->lossy,
    };
}

slant_status reading_options_check(const reading_options *o, slant_error *err)
{
    if (o->stride > 0 && o->truncation != SLANT_TRUNCATION_WINDOW)
        return status_fail(err, SLANT_ERR_ARGUMENT, "--stride goes with --truncation window alone");
    return SLANT_OK;
}

void reading_options_apply(const reading_options *o, slant_session_options *session)
{
    session->max_length = o->max_length;
    session->truncation = (slant_truncation)o->truncation;
    session->stride = o->stride;
}
