/* See privilege.h. capget() and capset() have no wrapper in libc, and for one bit another library would be too much. */
#include "tpm/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

Err *privilege_drop_log_access(void) {
        struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
        struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
        const uint32_t keep = ~CAP_TO_MASK(CAP_DAC_READ_SEARCH);
        if (syscall(SYS_capget, &header, data) < 0)
                return err_new_errno(ERR_INTERNAL, errno, "reading our capabilities");
        /* A capability that is neither permitted nor inheritable is not ambient either (capabilities(7)). */
        struct __user_cap_data_struct *set = &data[CAP_TO_INDEX(CAP_DAC_READ_SEARCH)];
        set->effective &= keep;
        set->permitted &= keep;
        set->inheritable &= keep;
        if (syscall(SYS_capset, &header, data) < 0)
                return err_new_errno(ERR_INTERNAL, errno, "giving up CAP_DAC_READ_SEARCH");
        return NULL;
}
