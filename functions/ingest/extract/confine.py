"""What a process that reads a document gives up, for good, before it looks at the first byte.

Resource limits hold everywhere. On Linux the kernel enforces the rest without any privilege: Landlock (since 5.13)
closes the file system but for libraries, seccomp closes the network, other processes and every way to write. What a
kernel lacks is left out and missing from the answer; nothing here makes a document fail.

Sources: setrlimit(2), prctl(2), seccomp(2), landlock(7), kernel.org/doc/html/latest/userspace-api/landlock.html.
"""

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

# From prctl(2).
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_SECCOMP: Final = 22
_PR_SET_NO_NEW_PRIVS: Final = 38

# From landlock(7), the same numbers on every architecture.
_LANDLOCK_CREATE_RULESET: Final = 444
_LANDLOCK_ADD_RULE: Final = 445
_LANDLOCK_RESTRICT_SELF: Final = 446
_EXECUTE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 2, 1 << 3
_RIGHTS_OF_ABI: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}  # how many rights on files a version knows
_O_PATH: Final = 0o10000000

# From linux/audit.h, linux/bpf_common.h and linux/seccomp.h.
_ARCHITECTURES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000
_NR_OFFSET, _ARCHITECTURE_OFFSET, _ARGUMENTS_OFFSET = 0, 4, 16
_X32: Final = 0x40000000  # x86_64's second table of calls, asm/unistd_x32.h

# Numbers on x86_64 and aarch64 (asm/unistd_64.h, asm-generic/unistd.h); -1: the call does not exist there.
_FORBIDDEN: Final[dict[str, tuple[int, int]]] = {
    # Network, local sockets among it, and io_uring, which could do the same out of the filter's sight.
    "socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201),
    "accept": (43, 202), "accept4": (288, 242), "sendto": (44, 206), "sendmsg": (46, 211), "sendmmsg": (307, 269),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    # Other processes.
    "fork": (57, -1), "vfork": (58, -1), "ptrace": (101, 117), "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271), "process_madvise": (440, 440), "kcmp": (312, 272), "pidfd_open": (434, 434),
    "pidfd_getfd": (438, 438), "pidfd_send_signal": (424, 424), "kill": (62, 129), "tkill": (200, 130),
    "rt_sigqueueinfo": (129, 138), "rt_tgsigqueueinfo": (297, 240),
    # Files: all that changes one by its name. Landlock has no right for modes, owners, times and attributes.
    "creat": (85, -1), "truncate": (76, 45), "mknod": (133, -1), "mknodat": (259, 33), "mkdir": (83, -1),
    "mkdirat": (258, 34), "rmdir": (84, -1), "unlink": (87, -1), "unlinkat": (263, 35), "rename": (82, -1),
    "renameat": (264, 38), "renameat2": (316, 276), "link": (86, -1), "linkat": (265, 37), "symlink": (88, -1),
    "symlinkat": (266, 36), "chmod": (90, -1), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452),
    "chown": (92, -1), "lchown": (94, -1), "fchown": (93, 55), "fchownat": (260, 54), "utime": (132, -1),
    "utimes": (235, -1), "utimensat": (280, 88), "futimesat": (261, -1), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "open_by_handle_at": (304, 265),
    # Memory that RLIMIT_AS does not count.
    "memfd_create": (319, 279), "memfd_secret": (447, 447), "shmget": (29, 194), "msgget": (68, 186),
    "semget": (64, 190), "mq_open": (240, 180),
    # The system itself, and limits: root could raise them again.
    "setrlimit": (160, 164), "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51),
    "unshare": (272, 97), "setns": (308, 268), "open_tree": (428, 428), "move_mount": (429, 429),
    "fsopen": (430, 430), "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433),
    "mount_setattr": (442, 442), "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "init_module": (175, 105),
    "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104), "kexec_file_load": (320, 294),
    "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225), "acct": (163, 89), "syslog": (103, 116),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "adjtimex": (159, 171), "clock_adjtime": (305, 266),
    "sethostname": (170, 161), "setdomainname": (171, 162), "personality": (135, 92), "iopl": (172, -1),
    "ioperm": (173, -1), "modify_ldt": (154, -1),
}  # fmt: skip
_EXECUTING: Final = {"execve": (59, 221), "execveat": (322, 281)}
# glibc falls back to the older call, whose flags a filter can see.
_HIDDEN: Final = {"clone3": (435, 435), "openat2": (437, 437)}
_OPEN, _OPENAT, _CLONE, _TGKILL, _PRLIMIT = (2, -1), (257, 56), (56, 220), (234, 131), (302, 261)
_CLONE_THREAD: Final = 0x10000
_WRITING: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one document may take: address space and output in bytes, processor time in seconds."""

    memory_bytes: int
    cpu_seconds: int
    output_bytes: int


def confine(limits: Limits, readable: Iterable[str], program: str | None = None) -> tuple[str, ...]:
    """Give up all but computing, reading the open files, and what lies under the paths in `readable`.

    Of other programs only `program` may still be executed. Returns what is enforced: `limits` always, and
    `no_new_privileges`, `landlock`, `seccomp` where the kernel has them. To be called while there is one thread.
    """
    _limit(limits)
    enforced = ["limits"]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        # A reader must not outlive a worker that was killed; and nobody is to attach to it.
        libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
        # Both of the others need it, for a process without privileges.
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
            enforced.append("no_new_privileges")
            if _landlock(libc, readable, program):
                enforced.append("landlock")
            if _seccomp(libc, may_execute=program is not None):
                enforced.append("seccomp")
    return tuple(enforced)


def conceal() -> None:
    """Keep this process's memory and environment from others of the same user, in /proc and by ptrace (prctl(2)).

    For the parent: where Landlock is missing, its children could read its secrets there.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def libraries() -> Iterator[str]:
    """The paths from which this interpreter may import: installed packages, the standard library, system libraries.

    Of a folder on sys.path where no packages are installed (a checkout) only what was imported already.
    """
    loaded = {name.partition(".")[0] for name in sys.modules}
    standard = str(Path(sys.base_prefix) / "lib")
    yield from (standard, "/lib", "/lib64", "/usr/lib", "/etc/ld.so.cache", "/usr/share/fonts", "/dev/urandom")
    for entry in sys.path:
        if entry.startswith(standard):
            continue
        try:
            names = os.listdir(entry)  # noqa: PTH208  names, not paths
        except OSError:
            continue
        if any(name.endswith(".dist-info") for name in names):
            yield entry
        else:
            yield from (f"{entry}/{name}" for name in names if name.partition(".")[0] in loaded)


def _limit(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory_bytes, limits.memory_bytes))
    # At the soft limit SIGXCPU ends the process, at the hard one SIGKILL.
    resource.setrlimit(resource.RLIMIT_CPU, (limits.cpu_seconds, limits.cpu_seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.output_bytes, limits.output_bytes))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _landlock(libc: ctypes.CDLL, readable: Iterable[str], program: str | None) -> bool:
    """Whether the file system is closed now, and TCP as well (version 4), and signals to others (version 6)."""
    version = libc.syscall(_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    if version < 1:
        return False
    files = (1 << _RIGHTS_OF_ABI.get(version, 16)) - 1
    # struct landlock_ruleset_attr, as long as the version knows it.
    attributes = struct.pack("QQQ", files, 3, 3)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _open_to(libc, ruleset, path, _READ_FILE | _READ_DIR)
        if program is not None:
            # The kernel wants the right for the program itself and for the loader it names.
            _open_to(libc, ruleset, program, _READ_FILE | _EXECUTE)
            for loader in (*Path("/lib64").glob("ld-linux-*.so.*"), *Path("/lib").glob("ld-linux-*.so.*")):
                _open_to(libc, ruleset, str(loader), _READ_FILE | _EXECUTE)
        return bool(libc.syscall(_LANDLOCK_RESTRICT_SELF, ruleset, ctypes.c_uint32(0)) == 0)
    finally:
        os.close(ruleset)


def _open_to(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    try:
        beneath = os.open(path, _O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not Path(path).is_dir():
            rights &= ~_READ_DIR
        # struct landlock_path_beneath_attr is packed; 1 is LANDLOCK_RULE_PATH_BENEATH.
        libc.syscall(_LANDLOCK_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, beneath), ctypes.c_uint32(0))
    finally:
        os.close(beneath)


def _seccomp(libc: ctypes.CDLL, *, may_execute: bool) -> bool:
    """Whether the kernel filters this process's calls now."""
    known = _ARCHITECTURES.get(os.uname().machine)
    if known is None or struct.calcsize("P") != 8:
        return False
    program = b"".join(struct.pack("HBBI", *step) for step in _filter(*known, may_execute=may_execute))
    steps = ctypes.create_string_buffer(program)
    # struct sock_fprog; 2 is SECCOMP_MODE_FILTER.
    described = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps))
    return bool(libc.prctl(_PR_SET_SECCOMP, 2, described, 0, 0) == 0)


def _filter(column: int, architecture: int, *, may_execute: bool) -> Iterator[tuple[int, int, int, int]]:
    """A program of classic BPF, as (code, jump if true, jump if false, operand); jumps count from the next step."""
    refused = (_RETURN, 0, 0, _FAIL | errno.EPERM)
    allowed = (_RETURN, 0, 0, _ALLOW)
    yield (_LOAD, 0, 0, _ARCHITECTURE_OFFSET)
    yield (_EQUAL, 1, 0, architecture)
    yield (_RETURN, 0, 0, _KILL)
    yield (_LOAD, 0, 0, _NR_OFFSET)
    yield (_AT_LEAST, 0, 1, _X32)
    yield refused
    for numbers in (_FORBIDDEN if may_execute else _FORBIDDEN | _EXECUTING).values():
        if numbers[column] >= 0:
            yield (_EQUAL, 0, 1, numbers[column])
            yield refused
    for numbers in _HIDDEN.values():
        yield (_EQUAL, 0, 1, numbers[column])
        yield (_RETURN, 0, 0, _FAIL | errno.ENOSYS)
    # Files may be opened to be read; threads, not processes, be started; this process be signalled (abort); limits
    # be asked for (a null pointer of 64 bits in place of new ones).
    for numbers, argument, test in (
        (_OPEN, 1, (_ANY_BIT, 1, 0, _WRITING)),
        (_OPENAT, 2, (_ANY_BIT, 1, 0, _WRITING)),
        (_CLONE, 0, (_ANY_BIT, 0, 1, _CLONE_THREAD)),
        (_TGKILL, 0, (_EQUAL, 0, 1, os.getpid())),
    ):
        if numbers[column] >= 0:
            yield (_EQUAL, 0, 4, numbers[column])
            yield (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 8 * argument)
            yield test
            yield allowed
            yield refused
    yield (_EQUAL, 0, 6, _PRLIMIT[column])
    yield (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 16)
    yield (_EQUAL, 0, 3, 0)
    yield (_LOAD, 0, 0, _ARGUMENTS_OFFSET + 20)
    yield (_EQUAL, 0, 1, 0)
    yield allowed
    yield refused
    yield allowed
