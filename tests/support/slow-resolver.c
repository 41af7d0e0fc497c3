/* LD_PRELOAD: looking up a name of the domain slow.test takes SLOW_SECONDS and fails, as where a name server does not answer. Other names are nobody's
 * business here. */
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
#include <time.h>

#define SLOW_SECONDS 8
#define SLOW_DOMAIN ".slow.test"

typedef int (*Lookup)(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret);

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret) {
        size_t size = node ? strlen(node) : 0, tail = strlen(SLOW_DOMAIN);
        if (size > tail && strcmp(node + size - tail, SLOW_DOMAIN) == 0) {
                struct timespec pause = { .tv_sec = SLOW_SECONDS };
                nanosleep(&pause, NULL);
                return EAI_AGAIN;
        }
        return ((Lookup) (void *) dlsym(RTLD_NEXT, "getaddrinfo"))(node, service, hints, ret);
}
