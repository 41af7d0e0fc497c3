/* See ini.h. */
#include "config/ini.h"

#include "base/utf8.h"
#include "base/writer.h"

typedef struct Scanner {
        const char *path;
        Span text;
        size_t offset;
        unsigned number;          /* of the line that was read last */
        const char *section;      /* borrowed from the file's last section line */
} Scanner;

IniFile *ini_file_free(IniFile *file) {
        if (!file)
                return NULL;
        for (size_t i = 0; i < file->n_lines; i++) {
                free(file->lines[i].section);
                free(file->lines[i].key);
                free(file->lines[i].value);
        }
        free(file->lines);
        free(file->path);
        free(file);
        return NULL;
}

static bool is_blank(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r';
}

static Span trim(Span text) {
        while (text.size > 0 && is_blank(text.data[0]))
                text = span_make(text.data + 1, text.size - 1);
        while (text.size > 0 && is_blank(text.data[text.size - 1]))
                text.size--;
        return text;
}

/* The next line without the blanks around it. */
static bool scan_line(Scanner *s, Span *ret) {
        if (s->offset >= s->text.size)
                return false;
        const uint8_t *begin = s->text.data + s->offset;
        size_t left = s->text.size - s->offset;
        const uint8_t *end = memchr(begin, '\n', left);
        size_t size = end ? (size_t) (end - begin) : left;
        s->offset += end ? size + 1 : size;
        s->number++;
        *ret = trim(span_make(begin, size));
        return true;
}

static bool is_comment(Span line) {
        return line.size > 0 && (line.data[0] == '#' || line.data[0] == ';');
}

static Err *check_characters(const Scanner *s) {
        unsigned number = 1;
        size_t valid = utf8_valid_size(s->text);
        for (size_t i = 0; i < s->text.size; i++) {
                uint8_t c = s->text.data[i];
                if (i == valid)
                        return err_new(ERR_CONFIG_INVALID, "%s:%u: bytes that are not UTF-8", s->path, number);
                bool ends_line = c == '\r' && (i + 1 == s->text.size || s->text.data[i + 1] == '\n');
                if ((c < 0x20 && c != '\n' && c != '\t' && !ends_line) || c == 0x7f)
                        return err_new(ERR_CONFIG_INVALID, "%s:%u: control character 0x%02x", s->path, number, c);
                if (c == '\n')
                        number++;
        }
        return NULL;
}

static Err *add_line(IniFile *file, IniLine **ret) {
        if (file->n_lines == file->room) {
                size_t room = file->room == 0 ? 32 : file->room * 2;
                IniLine *grown = reallocarray(file->lines, room, sizeof(IniLine));
                if (!grown)
                        return err_oom();
                file->lines = grown;
                file->room = room;
        }
        IniLine *line = &file->lines[file->n_lines++];
        *line = (IniLine) {};
        *ret = line;
        return NULL;
}

static Err *take_section(Scanner *s, Span line, IniFile *file) {
        Span name = trim(span_make(line.data + 1, line.size - 1));
        const uint8_t *end = memchr(line.data, ']', line.size);
        if (!end)
                return err_new(ERR_CONFIG_INVALID, "%s:%u: the section's name lacks its ]", s->path, s->number);
        if (end != line.data + line.size - 1)
                return err_new(ERR_CONFIG_INVALID, "%s:%u: nothing may follow ] of a section", s->path, s->number);
        name.size--;
        name = trim(name);
        if (name.size == 0 || memchr(name.data, '[', name.size))
                return err_new(ERR_CONFIG_INVALID, "%s:%u: a section's name is needed between [ and ]", s->path, s->number);
        IniLine *added;
        TRY(add_line(file, &added));
        added->number = s->number;
        TRY(string_copy_span(name, &added->section));
        s->section = added->section;
        return NULL;
}

/* The value, and the lines that belong to it because of a backslash at the end. */
static Err *take_value(Scanner *s, Span first, char **ret) {
        _cleanup_writer_ Writer writer = {};
        Span part = trim(first);
        while (part.size > 0 && part.data[part.size - 1] == '\\') {
                part.size--;
                writer_span(&writer, trim(part));
                writer_string(&writer, " ");
                part = (Span) {};
                while (scan_line(s, &part) && is_comment(part))
                        part = (Span) {};
        }
        writer_span(&writer, part);
        _cleanup_free_ char *joined = NULL;
        TRY(writer_finish_string(&writer, &joined));
        return string_copy_span(trim(span_from_string(joined)), ret);
}

static Err *take_assignment(Scanner *s, Span line, IniFile *file) {
        const uint8_t *equals = memchr(line.data, '=', line.size);
        if (!equals)
                return err_new(ERR_CONFIG_INVALID, "%s:%u: \"%.*s\" is neither Key=value, [Section] nor a comment", s->path, s->number,
                               (int) utf8_valid_size(span_make(line.data, MIN_OF(line.size, 40u))), (const char *) line.data);
        size_t key_size = (size_t) (equals - line.data);
        Span key = trim(span_make(line.data, key_size));
        if (key.size == 0)
                return err_new(ERR_CONFIG_INVALID, "%s:%u: a key is needed before =", s->path, s->number);
        IniLine *added;
        TRY(add_line(file, &added));
        added->number = s->number;
        TRY(string_copy(s->section, &added->section));
        TRY(string_copy_span(key, &added->key));
        return take_value(s, span_make(equals + 1, line.size - key_size - 1), &added->value);
}

Err *ini_parse(const char *path, Span text, IniFile **ret) {
        static const uint8_t byte_order_mark[] = { 0xef, 0xbb, 0xbf };
        _cleanup_(ini_file_freep) IniFile *file = calloc(1, sizeof(IniFile));
        if (!file)
                return err_oom();
        TRY(string_copy(path, &file->path));
        if (text.size >= 3 && span_equal(span_make(text.data, 3), SPAN_OF(byte_order_mark)))
                text = span_make(text.data + 3, text.size - 3);
        Scanner scanner = { .path = path, .text = text, .section = "" };
        TRY(check_characters(&scanner));
        for (Span line; scan_line(&scanner, &line);) {
                if (line.size == 0 || is_comment(line))
                        continue;
                TRY(line.data[0] == '[' ? take_section(&scanner, line, file) : take_assignment(&scanner, line, file));
        }
        *ret = steal_ptr(&file);
        return NULL;
}

Err *ini_read(const char *path, IniFile **ret) {
        _cleanup_bytes_ Bytes text = {};
        Err *err = file_read(path, INI_FILE_SIZE_MAX, &text);
        if (err_code(err) == ERR_LIMIT_EXCEEDED)
                return err_wrap_code(ERR_CONFIG_INVALID, err, "reading the configuration");
        if (err)
                return err_wrap(err, "reading the configuration");
        return ini_parse(path, bytes_span(&text), ret);
}
