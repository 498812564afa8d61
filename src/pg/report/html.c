#include "pg/report/html.h"

#include <math.h>
#include <stdarg.h>

#include "catalog/namespace.h"
#include "mb/pg_wchar.h"

#define REPLACEMENT 0xFFFD
#define REPLACEMENT_BYTES "\xef\xbf\xbd"

/* What pointing at a label shows of it, in columns. */
#define MOST_SHOWN 300

MetasdHtml *
metasd_html_begin(void)
{
    MetasdHtml *html = palloc0(sizeof(*html));

    initStringInfo(&html->page);
    return html;
}

void
metasd_html_markup(MetasdHtml *html, const char *markup)
{
    appendStringInfoString(&html->page, markup);
}

void
metasd_html_print(MetasdHtml *html, const char *format, ...)
{
    for (;;) {
        va_list arguments;
        int needed;

        va_start(arguments, format);
        needed = appendStringInfoVA(&html->page, format, arguments);
        va_end(arguments);
        if (needed == 0)
            return;
        enlargeStringInfo(&html->page, needed);
    }
}

/* ---- characters ---- */

/* Characters that a reader cannot see, or that change how others look. */
static uint32
visible(uint32 c)
{
    if (c < 0x20)
        return 0x2400 + c;
    if (c == 0x7F)
        return 0x2421;
    if ((c >= 0x80 && c < 0xA0) || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF ||
        (c & 0xFFFE) == 0xFFFE || (c >= 0xFDD0 && c < 0xFDF0))
        return REPLACEMENT;
    if (c == 0x2028 || c == 0x2029 || c == 0x061C || c == 0x200E || c == 0x200F ||
        (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069))
        return REPLACEMENT;
    return c;
}

static void
append_character(StringInfo page, uint32 c)
{
    if (c >= 0x80)
        appendStringInfo(page, "&#x%X;", c);
    else if (c == '&')
        appendStringInfoString(page, "&amp;");
    else if (c == '<')
        appendStringInfoString(page, "&lt;");
    else if (c == '>')
        appendStringInfoString(page, "&gt;");
    else if (c == '"')
        appendStringInfoString(page, "&#34;");
    else if (c == '\'')
        appendStringInfoString(page, "&#39;");
    else
        appendStringInfoChar(page, (char)c);
}

/* The next character of bytes that should be UTF-8, and its columns. */
static uint32
next_character(const unsigned char **at, const unsigned char *end, int *columns)
{
    const unsigned char *s = *at;
    int len = pg_utf_mblen(s);
    uint32 c;

    *columns = 1;
    if (len > end - s || !pg_utf8_islegal(s, len)) {
        (*at)++;
        return REPLACEMENT;
    }
    *at += len;
    c = visible(utf8_to_unicode(s));
    if (c >= 0x80 && c != REPLACEMENT && c >> 8 != 0x24)
        *columns = Max(pg_encoding_dsplen(PG_UTF8, (const char *)s), 0);
    return c;
}

/* ---- encodings ---- */

#if PG_VERSION_NUM >= 140000
/* Bytes of the database's encoding in UTF-8; what has no equivalent becomes U+FFFD. */
static char *
convert(Oid function, char *data, int len)
{
    StringInfoData converted;

    initStringInfo(&converted);
    while (len > 0) {
        int room = len * MAX_CONVERSION_GROWTH + 1, used;

        enlargeStringInfo(&converted, room);
        used = pg_do_encoding_conversion_buf(
            function, GetDatabaseEncoding(), PG_UTF8, (unsigned char *)data, len,
            (unsigned char *)converted.data + converted.len, room, true);
        converted.len += (int)strlen(converted.data + converted.len);
        if (used < len) {
            used = Min(used + pg_mblen(data + used), len);
            appendStringInfoString(&converted, REPLACEMENT_BYTES);
        }
        data += used;
        len -= used;
    }
    return converted.data;
}
#endif

/* Without an encoding, or a conversion, what is not UTF-8 will become U+FFFD. */
static char *
as_utf8(const char *data, size_t *len)
{
    char *copy = pnstrdup(data, *len);
    int encoding = GetDatabaseEncoding();

    if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII) {
        Oid function = FindDefaultConversionProc(encoding, PG_UTF8);

        if (OidIsValid(function)) {
#if PG_VERSION_NUM >= 140000
            copy = convert(function, copy, (int)*len);
#else
            copy = pg_server_to_any(copy, (int)*len, PG_UTF8);
#endif
            *len = strlen(copy);
        }
    }
    return copy;
}

/* ---- text ---- */

/* Appends characters until the columns are used up; false if some are left. */
static bool
append_text(StringInfo page, const unsigned char *at, const unsigned char *end, int most,
            int *columns)
{
    int characters = 0, fits_at = page->len;

    *columns = 0;
    while (at < end) {
        int wide;
        uint32 c = next_character(&at, end, &wide);

        if (*columns + wide > most || characters++ / 2 == most) {
            page->len = fits_at;
            page->data[fits_at] = '\0';
            return false;
        }
        append_character(page, c);
        *columns += wide;
        if (*columns < most) /* there is room for an ellipsis behind it */
            fits_at = page->len;
    }
    return true;
}

void
metasd_html_text(MetasdHtml *html, const char *text)
{
    size_t bytes = strlen(text);
    const char *utf8 = as_utf8(text, &bytes);
    int columns;

    (void)append_text(&html->page, (const unsigned char *)utf8, (const unsigned char *)utf8 + bytes,
                      INT_MAX / 4, &columns);
}

int
metasd_html_cut(MetasdHtml *html, const char *data, size_t len, int most)
{
    int all = (int)Min(len, INT_MAX), some = pg_mbcliplen(data, all, 8 * most + 8), columns;
    size_t bytes = (size_t)some;
    const char *utf8 = as_utf8(data, &bytes);
    bool whole = append_text(&html->page, (const unsigned char *)utf8,
                             (const unsigned char *)utf8 + bytes, most, &columns);

    if (whole && some == all)
        return columns;
    appendStringInfoString(&html->page, "&#x2026;");
    return Min(columns + 1, most);
}

void
metasd_html_label(MetasdHtml *html, MetasdLabel label, int most)
{
    /* So short a label cannot have been cut, whatever its characters. */
    if ((int)label.len > most) {
        metasd_html_markup(html, "<bdi title=\"");
        (void)metasd_html_cut(html, label.data, label.len, MOST_SHOWN);
        metasd_html_markup(html, "\">");
    } else
        metasd_html_markup(html, "<bdi>");
    (void)metasd_html_cut(html, label.data, label.len, most);
    metasd_html_markup(html, "</bdi>");
}

void
metasd_html_name(MetasdHtml *html, const char *name, int most)
{
    metasd_html_label(html, (MetasdLabel){.data = name, .len = (uint32)strlen(name)}, most);
}

/* ---- numbers ---- */

char *
metasd_html_count(int64 count)
{
    char *digits = psprintf(INT64_FORMAT, count), *text = palloc(2 * strlen(digits) + 1);
    size_t n = strlen(digits), to = 0;

    for (size_t i = 0; i < n; i++) {
        if (i > 0 && digits[i - 1] != '-' && (n - i) % 3 == 0)
            text[to++] = ',';
        text[to++] = digits[i];
    }
    text[to] = '\0';
    return text;
}

char *
metasd_html_bytes(double bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    int unit = 0;

    for (; bytes >= 999.5 && unit < (int)lengthof(units) - 1; bytes /= 1000)
        unit++;
    return psprintf("%.*f %s", unit > 0 && bytes < 9.95 ? 1 : 0, bytes, units[unit]);
}

char *
metasd_html_seconds(double seconds)
{
    int64 whole = (int64)rint(seconds);

    if (seconds < 9.95)
        return psprintf("%.1f s", seconds);
    if (whole < 60)
        return psprintf("%d s", (int)whole);
    if (whole < 3600)
        return psprintf("%d min %d s", (int)(whole / 60), (int)(whole % 60));
    return psprintf(INT64_FORMAT " h %d min", whole / 3600, (int)(whole % 3600 / 60));
}

/* ---- tables ---- */

void
metasd_html_open_table(MetasdHtml *html, const char *caption, const char *const *columns, int n)
{
    metasd_html_markup(html, "<div class=\"scroll\"><table>");
    if (caption) {
        metasd_html_markup(html, "<caption>");
        metasd_html_text(html, caption);
        metasd_html_markup(html, "</caption>");
    }
    metasd_html_markup(html, "<thead><tr>");
    for (int i = 0; i < n; i++) {
        bool number = columns[i][0] == '#';

        metasd_html_markup(html,
                           number ? "<th scope=\"col\" class=\"number\">" : "<th scope=\"col\">");
        metasd_html_text(html, columns[i] + number);
        metasd_html_markup(html, "</th>");
    }
    metasd_html_markup(html, "</tr></thead><tbody>\n");
}

void
metasd_html_close_table(MetasdHtml *html)
{
    metasd_html_markup(html, "</tbody></table></div>\n");
}

void
metasd_html_number_cell(MetasdHtml *html, double value, int decimals)
{
    if (isnan(value))
        metasd_html_markup(html, "<td class=\"number\">&#x2013;</td>");
    else
        metasd_html_print(html, "<td class=\"number\">%.*f</td>", decimals, value);
}

void
metasd_html_count_cell(MetasdHtml *html, int64 count)
{
    metasd_html_print(html, "<td class=\"number\">%s</td>", metasd_html_count(count));
}
