/* See local-socket.h. */
#include "daemon/local-socket.h"

#include <errno.h>
#include <libgen.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bytes.h"

static Err *address_make(const char *path, struct sockaddr_un *ret) {
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        if (strlen(path) >= sizeof(address.sun_path))
                return err_new(ERR_IO, "%s: longer than the %zu bytes of a socket address", path, sizeof(address.sun_path) - 1);
        strcpy(address.sun_path, path); /* lint: the length was compared above */
        *ret = address;
        return NULL;
}

static Err *socket_make(int *ret) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return err_new_errno(ERR_IO, errno, "making a socket");
        *ret = fd;
        return NULL;
}

/* A full queue (EAGAIN) means that somebody listens. */
static Err *stale_remove(const char *path, const struct sockaddr_un *address) {
        struct stat st;
        if (lstat(path, &st) < 0)
                return errno == ENOENT ? NULL : err_new_errno(ERR_IO, errno, "%s", path);
        if (!S_ISSOCK(st.st_mode))
                return err_new(ERR_IO, "%s: there is something that is no socket", path);
        _cleanup_close_ int fd = -1;
        TRY(socket_make(&fd));
        if (connect(fd, (const struct sockaddr *) address, sizeof(*address)) >= 0 || errno == EAGAIN)
                return err_new_errno(ERR_IO, EADDRINUSE, "%s: another process listens there", path);
        if (errno != ECONNREFUSED)
                return err_new_errno(ERR_IO, errno, "%s: asking whether somebody listens there", path);
        if (unlink(path) < 0 && errno != ENOENT)
                return err_new_errno(ERR_IO, errno, "%s: removing a stale socket", path);
        return NULL;
}

static Err *folder_make(const char *path) {
        _cleanup_free_ char *copy = NULL;
        TRY(string_copy(path, &copy));
        const char *folder = dirname(copy);
        if (mkdir(folder, 0755) < 0 && errno != EEXIST)
                return err_new_errno(ERR_IO, errno, "%s: making the folder", folder);
        return NULL;
}

Err *local_socket_listen(const char *path, int *ret_fd) {
        struct sockaddr_un address;
        _cleanup_close_ int fd = -1;
        TRY(address_make(path, &address));
        TRY(folder_make(path));
        TRY(stale_remove(path, &address));
        TRY(socket_make(&fd));
        if (bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return err_new_errno(ERR_IO, errno, "%s: binding the socket", path);
        if (chmod(path, 0666) < 0)
                return err_new_errno(ERR_IO, errno, "%s: letting everybody connect", path);
        if (listen(fd, SOMAXCONN) < 0)
                return err_new_errno(ERR_IO, errno, "%s: listening", path);
        *ret_fd = steal_fd(&fd);
        return NULL;
}

void local_socket_remove(const char *path, int fd) {
        struct sockaddr_un address;
        socklen_t size = sizeof(address);
        if (getsockname(fd, (struct sockaddr *) &address, &size) >= 0 && size > offsetof(struct sockaddr_un, sun_path) &&
            strncmp(address.sun_path, path, sizeof(address.sun_path)) == 0)
                unlink(path);
}
