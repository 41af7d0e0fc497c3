/* INI text, line by line, so that every complaint can name its file and line.
 *
 *     # comment            ; comment          first character of the line that is not blank
 *     [Section]
 *     Key=value of the rest of the line       blanks around key and value do not count; nothing else is cut off or unquoted
 *     Key=first part \
 *         second part                         a backslash at the end joins the next line with one space; comments in between are skipped
 *
 * This is the grammar of systemd.syntax(7). Anything else is an error. Why not libeconf, whose business this is: version 0.5 of Debian 12
 *   - cuts a value at the first '#' or ';' (a URL or a secret is silently shortened), and takes away quotes;
 *   - takes a line without '=' for more of the value above it, or for a key without a value;
 *   - cuts lines at 8192 bytes and counts the pieces as lines, and gives the last line of a value that has several;
 *   - keeps the first of two values of a key in one file, where every other file of /etc that people know keeps the last;
 *   - drops what follows a NUL in a line, and merges two folders, not three.
 * What would have had to be checked before and after it is this file. */
#pragma once

#include "base/bytes.h"

#define INI_FILE_SIZE_MAX (1u << 20)

typedef struct IniLine {
        char *section;    /* "" above the first section */
        char *key;        /* NULL: the line opens the section */
        char *value;
        unsigned number;  /* of the line, from 1; of the first one of a value that has several */
} IniLine;

typedef struct IniFile {
        char *path;       /* as it stands in messages */
        IniLine *lines;
        size_t n_lines;
        size_t room;
} IniFile;

IniFile *ini_file_free(IniFile *file);
DEFINE_CLEANUP(IniFile, ini_file_free)
/* Error: CONFIG_INVALID "PATH:LINE: …" for bytes that are not UTF-8, control characters, and lines that are none of the above. */
Err *ini_parse(const char *path, Span text, IniFile **ret) _must_check_;
/* Errors: as ini_parse(); IO; CONFIG_INVALID above INI_FILE_SIZE_MAX. */
Err *ini_read(const char *path, IniFile **ret) _must_check_;
