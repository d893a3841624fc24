/* Which fields of an object or of a table's row are the article, its title, id and label. */
#ifndef SLANT_DATA_FIELDS_H
#define SLANT_DATA_FIELDS_H

#include "data/csv.h"
#include "data/json_scan.h"

#include <slant_data.h>

/* Five names for the text and three for the id where none is asked for, one title, one label. */
#define FIELDS_MAX_NAMES 10

typedef enum field_role { FIELD_TEXT, FIELD_TITLE, FIELD_ID, FIELD_LABEL, FIELD_ROLES } field_role;

/* A name that is looked for; of several with one role the first that is there is taken. */
typedef struct field_name {
    field_role role;
    const char *name;
    size_t name_bytes;
    bool found;
    json_value value; /* in the object at hand, where found */
    size_t column;    /* in the table at hand, where found */
} field_name;

typedef struct fields {
    field_name names[FIELDS_MAX_NAMES];
    size_t n_names;
    size_t n_columns; /* of the table at hand */
    buf text, title, id, label, scratch;
} fields;

/* options' names must outlive fields. */
void fields_init(fields *f, const slant_reader_options *options);
void fields_free(fields *f);

/* Each sets text, title, id_json and label_json of the record, whose file and row are set; valid
 * until the next call or until the bytes go. id_json is set even where the call fails. */
slant_status fields_from_json(fields *f, const char *bytes, size_t size_bytes, slant_record *record,
                              slant_error *err);
slant_status fields_from_row(fields *f, csv *table, const csv_record *row, slant_record *record,
                             slant_error *err);
/* Takes a table's first row as the names of its columns; fails where no text is among them. */
slant_status fields_bind(fields *f, csv *table, const csv_record *header, slant_error *err);

/* Sets id_json to "FILE:ROW". */
slant_status fields_default_id(fields *f, slant_record *record, slant_error *err);

/* Whether name is one that an article's text is looked for under. */
bool fields_is_text_name(const fields *f, const char *name, size_t name_bytes);

#endif
