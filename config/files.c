/* See files.h. */
#include "config/files.h"

#include <dirent.h>
#include <errno.h>
#include <unistd.h>

/* From the weakest to the strongest. */
static const char *const folders[] = { "/usr/lib/attestd", "/run/attestd", "/etc/attestd" };

static inline void dir_closep(DIR **dir) {
        if (*dir)
                closedir(*dir);
        *dir = NULL;
}

static void file_name_done(ConfigFileName *name) {
        free(name->name);
        free(name->path);
        *name = (ConfigFileName) {};
}

void config_files_done(ConfigFiles *files) {
        for (size_t i = 0; i < files->n_names; i++)
                file_name_done(&files->names[i]);
        free(files->names);
        *files = (ConfigFiles) {};
}

static ConfigFileName *find(const ConfigFiles *files, const char *name) {
        for (size_t i = 0; i < files->n_names; i++)
                if (string_equal(files->names[i].name, name))
                        return &files->names[i];
        return NULL;
}

static Err *new_slot(ConfigFiles *files, ConfigFileName **ret) {
        if (files->n_names == CONFIG_FILES_MAX)
                return err_new(ERR_LIMIT_EXCEEDED, "the configuration has more than %u files", CONFIG_FILES_MAX);
        if (files->n_names == files->room) {
                size_t room = files->room == 0 ? 16 : files->room * 2;
                ConfigFileName *grown = reallocarray(files->names, room, sizeof(ConfigFileName));
                if (!grown)
                        return err_oom();
                files->names = grown;
                files->room = room;
        }
        files->names[files->n_names] = (ConfigFileName) {};
        *ret = &files->names[files->n_names++];
        return NULL;
}

/* A file of the same name from a stronger folder takes the place of the weaker one. */
static Err *add_masking(ConfigFiles *files, const char *folder, const char *name) {
        ConfigFileName *slot = find(files, name);
        if (!slot)
                TRY(new_slot(files, &slot));
        else
                file_name_done(slot);
        TRY(string_format(&slot->path, "%s/%s", folder, name));
        return string_copy(name, &slot->name);
}

static bool is_conf_name(const char *name) {
        size_t size = strlen(name);
        return name[0] != '.' && size > 5 && string_equal(name + size - 5, ".conf");
}

/* A folder that does not exist is an empty one. */
static Err *add_folder(ConfigFiles *files, const char *folder) {
        _cleanup_(dir_closep) DIR *dir = opendir(folder);
        if (!dir && (errno == ENOENT || errno == ENOTDIR))
                return NULL;
        if (!dir)
                return err_new_errno(ERR_IO, errno, "opening the folder %s", folder);
        for (;;) {
                errno = 0;
                const struct dirent *entry = readdir(dir);
                if (!entry)
                        return errno == 0 ? NULL : err_new_errno(ERR_IO, errno, "listing the folder %s", folder);
                if (is_conf_name(entry->d_name))
                        TRY(add_masking(files, folder, entry->d_name));
        }
}

static int compare_names(const void *a, const void *b) {
        return strcmp(((const ConfigFileName *) a)->name, ((const ConfigFileName *) b)->name);
}

static Err *add_folder_of_all(ConfigFiles *files, const char *root, const char *subfolder) {
        for (size_t i = 0; i < N_ELEMENTS(folders); i++) {
                _cleanup_free_ char *path = NULL;
                TRY(string_format(&path, "%s%s/%s", root, folders[i], subfolder));
                TRY(add_folder(files, path));
        }
        return NULL;
}

/* Files that do not mask each other. */
static Err *add_plain(ConfigFiles *files, const char *path) {
        const char *slash = strrchr(path, '/');
        ConfigFileName *slot;
        TRY(new_slot(files, &slot));
        TRY(string_copy(path, &slot->path));
        return string_copy(slash ? slash + 1 : path, &slot->name);
}

static Err *append(ConfigFiles *files, ConfigFiles *steal_from) {
        if (steal_from->n_names > 1)
                qsort(steal_from->names, steal_from->n_names, sizeof(ConfigFileName), compare_names);
        for (size_t i = 0; i < steal_from->n_names; i++) {
                ConfigFileName *slot;
                TRY(new_slot(files, &slot));
                *slot = steal_from->names[i];
                steal_from->names[i] = (ConfigFileName) {};
        }
        return NULL;
}

static Err *list_explicit(const char *file, ConfigFiles *files) {
        _cleanup_config_files_ ConfigFiles drop_ins = {};
        _cleanup_free_ char *folder = NULL;
        if (access(file, F_OK) < 0)
                return err_new_errno(errno == ENOENT || errno == ENOTDIR ? ERR_CONFIG_MISSING : ERR_IO, errno, "the configuration file %s", file);
        TRY(add_plain(files, file));
        TRY(string_format(&folder, "%s.d", file));
        TRY(add_folder(&drop_ins, folder));
        return append(files, &drop_ins);
}

static Err *list_standard(const char *root, ConfigFiles *files) {
        static const char *const main_files[] = { "/usr/lib/attestd/attestd.conf", "/etc/attestd/attestd.conf" };
        _cleanup_config_files_ ConfigFiles drop_ins = {};
        for (size_t i = 0; i < N_ELEMENTS(main_files); i++) {
                _cleanup_free_ char *path = NULL;
                TRY(string_format(&path, "%s%s", root, main_files[i]));
                if (access(path, F_OK) == 0)
                        TRY(add_plain(files, path));
                else if (errno != ENOENT && errno != ENOTDIR)
                        return err_new_errno(ERR_IO, errno, "the configuration file %s", path);
        }
        TRY(add_folder_of_all(&drop_ins, root, "attestd.conf.d"));
        return append(files, &drop_ins);
}

Err *config_files_main(const char *explicit_file, const char *root, ConfigFiles *ret) {
        _cleanup_config_files_ ConfigFiles files = {};
        TRY(explicit_file ? list_explicit(explicit_file, &files) : list_standard(root ? root : "", &files));
        *ret = files;
        files = (ConfigFiles) {};
        return NULL;
}

Err *config_files_profiles(const char *explicit_file, const char *root, ConfigFiles *ret) {
        _cleanup_config_files_ ConfigFiles found = {}, files = {};
        if (explicit_file) {
                const char *slash = strrchr(explicit_file, '/');
                _cleanup_free_ char *folder = NULL;
                TRY(string_format(&folder, "%.*sprofile.d", slash ? (int) (slash - explicit_file + 1) : 0, explicit_file));
                TRY(add_folder(&found, folder));
        } else
                TRY(add_folder_of_all(&found, root ? root : "", "profile.d"));
        TRY(append(&files, &found));
        *ret = files;
        files = (ConfigFiles) {};
        return NULL;
}
