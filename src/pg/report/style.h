/*
 * style.h - how a report looks: its style sheet.
 */
#ifndef METASD_PG_REPORT_STYLE_H
#define METASD_PG_REPORT_STYLE_H

extern const char metasd_style_sheet[];

#endif
