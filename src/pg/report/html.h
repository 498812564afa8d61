/*
 * html.h - writes a page: markup, and text in it.
 *
 * The page is plain ASCII: a character beyond is written as its number in Unicode. So the page
 * means the same in any encoding of the database, of the client and of the file. It parses as HTML
 * and as XML.
 *
 * All that is not a constant of this room goes through one of the functions that escape. They also
 * show what cannot be seen: control characters as the symbols for them, and characters that turn
 * the direction of what follows as U+FFFD.
 */
#ifndef METASD_PG_REPORT_HTML_H
#define METASD_PG_REPORT_HTML_H

#include "pg/base/compat.h"

#include "lib/stringinfo.h"

#include "pg/source/labelset.h"

typedef struct MetasdHtml {
    StringInfoData page;
    int figures; /* so far */
} MetasdHtml;

extern MetasdHtml *metasd_html_begin(void);

/* Appends markup: a constant, or a constant format with numbers and constants. */
extern void metasd_html_markup(MetasdHtml *html, const char *markup);
extern void metasd_html_print(MetasdHtml *html, const char *format, ...) pg_attribute_printf(2, 3);

/* Appends text, escaped, for an element or a quoted attribute. */
extern void metasd_html_text(MetasdHtml *html, const char *text);

/*
 * The same for any bytes; text that is wider than MOST columns is cut behind a character and ends
 * in an ellipsis. A character of Chinese has two columns. Returns the columns.
 */
extern int metasd_html_cut(MetasdHtml *html, const char *data, size_t len, int most);

/*
 * A label as an element whose direction does not change what is around it. If it was cut, pointing
 * at it shows more of it.
 */
extern void metasd_html_label(MetasdHtml *html, MetasdLabel label, int most);
extern void metasd_html_name(MetasdHtml *html, const char *name, int most);

/* Numbers for people: 1,234,567; 1.2 MB; 3 min 20 s. */
extern char *metasd_html_count(int64 count);
extern char *metasd_html_bytes(double bytes);
extern char *metasd_html_seconds(double seconds);

/*
 * A table: a caption or NULL, and the names of its columns; a name that begins with # is that of a
 * column of numbers. Rows are elements <tr>.
 */
extern void metasd_html_open_table(MetasdHtml *html, const char *caption,
                                   const char *const *columns, int n);
extern void metasd_html_close_table(MetasdHtml *html);

/* A cell of a number, or of none where it is NaN. */
extern void metasd_html_number_cell(MetasdHtml *html, double value, int decimals);
extern void metasd_html_count_cell(MetasdHtml *html, int64 count);

#endif
