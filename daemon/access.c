/* See access.h. A name in TokenAccess= that does not exist lets nobody in; names are looked up at each check, so that a group created after the start
 * of the daemon counts at once. */
#include "daemon/access.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#define GROUPS_MAX 65536     /* NGROUPS_MAX of Linux */
#define NSS_BUFFER_MAX (1u << 20)

void caller_done(Caller *caller) {
        free(caller->groups);
        *caller = (Caller) { .uid = (uid_t) -1, .gid = (gid_t) -1 };
}

static Err *socket_groups(int fd, gid_t **ret, size_t *ret_n) {
        socklen_t size = 32 * sizeof(gid_t);
        for (;;) {
                _cleanup_free_ gid_t *groups = malloc(size);
                if (!groups)
                        return err_oom();
                socklen_t room = size;
                if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) >= 0) {
                        *ret = steal_ptr(&groups);
                        *ret_n = size / sizeof(gid_t);
                        return NULL;
                }
                if (errno != ERANGE || size <= room || size > GROUPS_MAX * sizeof(gid_t))
                        return err_new_errno(ERR_IO, errno, "asking for the groups of the peer of a socket");
        }
}

Err *caller_from_socket(int fd, Caller *ret) {
        int domain = 0;
        socklen_t size = sizeof(domain);
        if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) < 0)
                return err_new_errno(ERR_IO, errno, "asking for the family of a socket");
        if (domain != AF_UNIX)
                return err_new(ERR_ACCESS_DENIED, "a TCP connection does not say who its user is; use the unix socket");

        struct ucred peer;
        size = sizeof(peer);
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
                return err_new_errno(ERR_IO, errno, "asking for the peer of a socket");
        gid_t *groups;
        size_t n_groups;
        TRY(socket_groups(fd, &groups, &n_groups));
        *ret = (Caller) { .uid = peer.uid, .gid = peer.gid, .groups = groups, .n_groups = n_groups };
        return NULL;
}

/* Runs lookup with a buffer that grows until the entry fits. found says whether there is one; a failing lookup finds nothing. */
typedef struct NssQuery {
        const char *name;
        uid_t uid;           /* where name is NULL */
        union {
                struct passwd passwd;
                struct group group;
        };
        char *buffer;
} NssQuery;

static void nss_query_done(NssQuery *query) {
        free(query->buffer);
}

static int nss_passwd(NssQuery *query, size_t size, bool *ret_found) {
        struct passwd *found = NULL;
        int r = query->name ? getpwnam_r(query->name, &query->passwd, query->buffer, size, &found) :
                              getpwuid_r(query->uid, &query->passwd, query->buffer, size, &found);
        *ret_found = r == 0 && found;
        return r;
}

static int nss_group(NssQuery *query, size_t size, bool *ret_found) {
        struct group *found = NULL;
        int r = getgrnam_r(query->name, &query->group, query->buffer, size, &found);
        *ret_found = r == 0 && found;
        return r;
}

static Err *nss_find(NssQuery *query, int (*lookup)(NssQuery *query, size_t size, bool *ret_found), bool *ret_found) {
        for (size_t size = 4096; size <= NSS_BUFFER_MAX; size *= 2) {
                char *grown = realloc(query->buffer, size);
                if (!grown)
                        return err_oom();
                query->buffer = grown;
                if (lookup(query, size, ret_found) != ERANGE)
                        return NULL;
        }
        *ret_found = false;
        return NULL;
}

Err *caller_from_uid(uid_t uid, Caller *ret) {
        _cleanup_(nss_query_done) NssQuery query = { .uid = uid };
        bool found;
        TRY(nss_find(&query, nss_passwd, &found));
        if (!found) {
                *ret = (Caller) { .uid = uid, .gid = (gid_t) -1 };
                return NULL;
        }
        int n = 32;
        for (;;) {
                _cleanup_free_ gid_t *groups = calloc((size_t) n, sizeof(gid_t));
                if (!groups)
                        return err_oom();
                int room = n;
                if (getgrouplist(query.passwd.pw_name, query.passwd.pw_gid, groups, &n) >= 0) {
                        *ret = (Caller) { .uid = uid, .gid = query.passwd.pw_gid, .groups = steal_ptr(&groups), .n_groups = (size_t) n };
                        return NULL;
                }
                if (n <= room || n > GROUPS_MAX)
                        return err_new(ERR_LIMIT_EXCEEDED, "uid %u is in more than %d groups", uid, GROUPS_MAX);
        }
}

static bool caller_in_group(const Caller *caller, gid_t gid) {
        if (caller->gid == gid)
                return true;
        for (size_t i = 0; i < caller->n_groups; i++)
                if (caller->groups[i] == gid)
                        return true;
        return false;
}

/* "1000" → 1000. (uid_t) -1 is no user. */
static bool id_parse(const char *text, uint32_t *ret) {
        uint64_t value = 0;
        if (!*text)
                return false;
        for (const char *c = text; *c; c++) {
                if (*c < '0' || *c > '9')
                        return false;
                value = value * 10 + (uint64_t) (*c - '0');
                if (value >= UINT32_MAX)
                        return false;
        }
        *ret = (uint32_t) value;
        return true;
}

static Err *entry_matches(const char *entry, const Caller *caller, bool *ret) {
        _cleanup_(nss_query_done) NssQuery query = {};
        bool is_group = *entry == '@', found;
        uint32_t id;
        query.name = entry + is_group;
        if (id_parse(query.name, &id)) {
                *ret = is_group ? caller_in_group(caller, id) : caller->uid == id;
                return NULL;
        }
        TRY(nss_find(&query, is_group ? nss_group : nss_passwd, &found));
        *ret = found && (is_group ? caller_in_group(caller, query.group.gr_gid) : caller->uid == query.passwd.pw_uid);
        return NULL;
}

Err *access_check(const Config *config, const Caller *caller) {
        if (caller->uid == 0 || caller->uid == geteuid())
                return NULL;
        for (char **entry = config->token_access; entry && *entry; entry++) {
                bool matches;
                TRY(entry_matches(*entry, caller, &matches));
                if (matches)
                        return NULL;
        }
        return err_new(ERR_ACCESS_DENIED, "uid %u is neither root nor in TokenAccess= of attestd.conf", caller->uid);
}
