/* Who may read tokens and ask for attestations: root, the daemon's own user, and TokenAccess= (users and @groups). */
#pragma once

#include <sys/types.h>

#include "config/config.h"

/* uid and all groups of the caller, as the kernel says. */
typedef struct Caller {
        uid_t uid;
        gid_t gid;
        gid_t *groups;      /* supplementary, owned */
        size_t n_groups;
} Caller;
void caller_done(Caller *caller);
/* SO_PEERCRED and SO_PEERGROUPS of a connected unix socket. A TCP socket has no peer credentials: ACCESS_DENIED. */
Err *caller_from_socket(int fd, Caller *ret) _must_check_;
/* uid with the groups of the user database: for whoever knows no more than the uid. A uid without an entry has no group. */
Err *caller_from_uid(uid_t uid, Caller *ret) _must_check_;
/* NULL or ACCESS_DENIED, naming uid and what would help. Asks the user database (NSS) for the names in TokenAccess=. */
Err *access_check(const Config *config, const Caller *caller) _must_check_;
