/* attestctl errors: the table of error.def. */
#include <getopt.h>
#include <stdio.h>

#include "cli/cli.h"

static Err *print_table_json(const char *name) {
        _cleanup_json_ Json *list = NULL;
        TRY(json_new_array(&list));
        for (unsigned code = ERR_NONE + 1; code < _ERR_CODE_MAX; code++) {
                const ErrInfo *info = err_code_info((ErrCode) code);
                if (name && !string_equal(name, info->name))
                        continue;
                Json *item;
                TRY(json_new_object(&item));
                TRY(json_append(list, item));
                TRY(json_add_string(item, "name", info->name));
                TRY(json_add_string(item, "dbus_name", info->dbus_name));
                TRY(json_add_integer(item, "exit_status", info->exit_status));
                TRY(json_add_string(item, "retry", err_retry_to_string(info->retry)));
                TRY(json_add_string(item, "message_id", info->message_id));
                TRY(json_add_string(item, "help", info->help));
        }
        return cli_print_json(list);
}

static void print_table(const char *name) {
        printf("%4s  %-26s %-10s %s\n", "EXIT", "NAME", "RETRY", "WHAT TO DO");
        for (unsigned code = ERR_NONE + 1; code < _ERR_CODE_MAX; code++) {
                const ErrInfo *info = err_code_info((ErrCode) code);
                if (!name || string_equal(name, info->name))
                        printf("%4d  %-26s %-10s %s\n", info->exit_status, info->name, err_retry_to_string(info->retry), info->help);
        }
}

int verb_errors(int argc, char **argv) {
        enum { OPTION_JSON = 256 };
        static const struct option options[] = {
                { "help", no_argument, NULL, 'h' },
                { "json", no_argument, NULL, OPTION_JSON },
                {},
        };
        for (int c; (c = getopt_long(argc, argv, "h", options, NULL)) >= 0;)
                switch (c) {
                case 'h':
                        return cli_help(cli_verb("errors"), "  --json   as a JSON array\n");
                case OPTION_JSON:
                        cli_set_json(true);
                        break;
                default:
                        return EXIT_USAGE;
                }
        const char *name = optind < argc ? argv[optind] : NULL;
        if (argc - optind > 1)
                return cli_usage_error("errors", "at most one name is needed");
        if (name && err_code_from_name(name) == ERR_INTERNAL && !string_equal(name, "Internal"))
                return cli_usage_error("errors", "there is no error \"%s\"", name);
        if (!cli_is_json()) {
                print_table(name);
                return 0;
        }
        Err *err = print_table_json(name);
        return err ? cli_fail(err) : 0;
}
