/*
 * Lets User Mode Linux of Linux 6.1 run on processors whose XSAVE area is larger than the kernel was built for (AMX).
 *
 * It reads and writes the registers of its processes with a buffer of 2,696 bytes. Reading gives the beginning of the area;
 * writing so little has been refused with EFAULT since the host's Linux checks for the whole area. This file, preloaded,
 * reads the whole area first, puts what was given over its beginning, and writes all of it. Nothing in the guest can
 * use the registers behind (its kernel has no arch_prctl that would allow it), so what stands there is theirs to keep.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/types.h>
#include <sys/uio.h>

#ifndef NT_X86_XSTATE
#define NT_X86_XSTATE 0x202
#endif

typedef long ptrace_function(enum __ptrace_request, ...);

long ptrace(enum __ptrace_request request, ...)
{
    static ptrace_function *real; /* the C library's: it knows how PTRACE_PEEK... tell a value from an error */
    static char whole[65536];     /* not on the stack: the kernel's threads have 16 KiB */
    va_list arguments;

    va_start(arguments, request);
    pid_t pid = va_arg(arguments, pid_t);
    void *address = va_arg(arguments, void *);
    void *data = va_arg(arguments, void *);
    va_end(arguments);
    if (!real)
        real = (ptrace_function *)dlsym(RTLD_NEXT, "ptrace");
    if (request == PTRACE_SETREGSET && (unsigned long)address == NT_X86_XSTATE) {
        const struct iovec *given = data;
        struct iovec all = {whole, sizeof whole};

        if (real(PTRACE_GETREGSET, pid, address, &all) == 0 && all.iov_len > given->iov_len) {
            memcpy(whole, given->iov_base, given->iov_len);
            return real(request, pid, address, &all);
        }
    }
    return real(request, pid, address, data);
}
