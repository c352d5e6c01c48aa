/*
 * IPVS inside the process, for kernels without it (LD_PRELOAD): every request of the generic netlink family "IPVS"
 * succeeds, every dump is empty. So health checks of thousands of servers can be measured on any machine; what is about
 * the table itself cannot. Works for programs that reach netlink through the C library, one thread to a socket.
 *
 * PRETENDED_IPVS names a file: each request that changes or removes something adds the moment of its arrival to it, as a
 * line of nanoseconds since 1970.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FAMILY = 0x77, DESCRIPTORS = 1 << 16 };

/* Commands of the family (<linux/ip_vs.h>). */
enum { SET_SERVICE = 2, DEL_SERVICE = 3, GET_SERVICE = 4, SET_DEST = 6, DEL_DEST = 7, GET_DEST = 8, GET_CONFIG = 13, GET_INFO = 15 };

/* Where answers to the socket of this number are put: the other end of a pair of sockets, plus one. */
static int other_end[DESCRIPTORS];

static int is_pretended(int socket)
{
	return socket >= 0 && socket < DESCRIPTORS && other_end[socket] != 0;
}

#define THE_REAL(name)                                    \
	static __typeof__(&name) real;                    \
	if (!real)                                        \
		real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* One message: a header and what is appended. */
struct message {
	struct nlmsghdr header;
	char rest[512];
};

static void append(struct message *m, const void *bytes, size_t length)
{
	memcpy((char *)m + m->header.nlmsg_len, bytes, length);
	memset((char *)m + m->header.nlmsg_len + length, 0, NLMSG_ALIGN(length) - length);
	m->header.nlmsg_len += NLMSG_ALIGN(length);
}

static void attribute(struct message *m, unsigned short kind, const void *value, unsigned short length)
{
	struct nlattr head = { NLA_HDRLEN + length, kind };
	append(m, &head, sizeof head);
	append(m, value, length);
}

static struct message begin(const struct nlmsghdr *request, unsigned short kind, unsigned short flags)
{
	struct message m = { { NLMSG_HDRLEN, kind, flags, request->nlmsg_seq, request->nlmsg_pid }, { 0 } };
	return m;
}

static void say(int socket, const struct message *m)
{
	/* Who does not read for long loses answers, as from the kernel. */
	if (write(other_end[socket] - 1, m, m->header.nlmsg_len) < 0)
		return;
}

static void acknowledge(int socket, const struct nlmsghdr *request, int error)
{
	struct message m = begin(request, NLMSG_ERROR, 0);
	append(&m, &error, sizeof error);
	append(&m, request, sizeof *request);
	say(socket, &m);
}

static void note_change(void)
{
	static int file = -2;
	struct timespec now;
	char line[32];

	if (file == -2) {
		const char *path = getenv("PRETENDED_IPVS");
		file = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;
	}
	if (file < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	int length = snprintf(line, sizeof line, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
	if (write(file, line, (size_t)length) < 0)
		file = -1;
}

static void serve(int socket, const struct nlmsghdr *request)
{
	const struct genlmsghdr *generic = NLMSG_DATA(request);
	struct genlmsghdr head = { 0, 1, 0 };
	struct message m = begin(request, request->nlmsg_type, 0);
	int error = 0;

	if (request->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN) {
		error = -EINVAL;
	} else if (request->nlmsg_type == GENL_ID_CTRL) {
		unsigned short family = FAMILY;
		unsigned version = 1;
		if (!memmem(request, request->nlmsg_len, "IPVS", sizeof "IPVS")) {
			error = -ENOENT;
		} else {
			head.cmd = CTRL_CMD_NEWFAMILY;
			append(&m, &head, sizeof head);
			attribute(&m, CTRL_ATTR_FAMILY_ID, &family, sizeof family);
			attribute(&m, CTRL_ATTR_FAMILY_NAME, "IPVS", sizeof "IPVS");
			attribute(&m, CTRL_ATTR_VERSION, &version, sizeof version);
			say(socket, &m);
		}
	} else if (request->nlmsg_flags & NLM_F_DUMP) {
		m = begin(request, NLMSG_DONE, NLM_F_MULTI);
		append(&m, &error, sizeof error);
		say(socket, &m);
		return;
	} else {
		switch (generic->cmd) {
		case GET_INFO: {
			unsigned version = 1 << 16 | 2 << 8 | 1, connections = 4096;
			head.cmd = 14;
			append(&m, &head, sizeof head);
			attribute(&m, 1, &version, sizeof version);
			attribute(&m, 2, &connections, sizeof connections);
			say(socket, &m);
			break;
		}
		case GET_CONFIG: {
			unsigned timeouts[] = { 900, 120, 300 };
			head.cmd = 12;
			append(&m, &head, sizeof head);
			for (unsigned short kind = 4; kind < 7; kind++)
				attribute(&m, kind, &timeouts[kind - 4], sizeof *timeouts);
			say(socket, &m);
			break;
		}
		case GET_SERVICE:
		case GET_DEST:
			error = -ESRCH;
			break;
		case SET_SERVICE:
		case DEL_SERVICE:
		case SET_DEST:
		case DEL_DEST:
			note_change();
			break;
		}
	}
	if (error || request->nlmsg_flags & NLM_F_ACK)
		acknowledge(socket, request, error);
}

static ssize_t serve_all(int socket, const char *bytes, size_t length)
{
	size_t at = 0;
	struct nlmsghdr head;

	while (at + sizeof head <= length) {
		memcpy(&head, bytes + at, sizeof head);
		if (head.nlmsg_len < sizeof head || head.nlmsg_len > length - at)
			break;
		serve(socket, (const void *)(bytes + at));
		at += NLMSG_ALIGN(head.nlmsg_len);
	}
	return (ssize_t)length;
}

static struct sockaddr_nl address_of(unsigned port)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_pid = port };
	return address;
}

int socket(int domain, int type, int protocol)
{
	THE_REAL(socket);
	if (domain != AF_NETLINK || protocol != NETLINK_GENERIC)
		return real(domain, type, protocol);
	int ends[2], room = 64 << 20;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | (type & (SOCK_NONBLOCK | SOCK_CLOEXEC)), 0, ends))
		return -1;
	if (ends[0] >= DESCRIPTORS) {
		close(ends[0]);
		close(ends[1]);
		errno = EMFILE;
		return -1;
	}
	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	setsockopt(ends[1], SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);
	other_end[ends[0]] = ends[1] + 1;
	return ends[0];
}

int close(int socket)
{
	THE_REAL(close);
	if (is_pretended(socket)) {
		real(other_end[socket] - 1);
		other_end[socket] = 0;
	}
	return real(socket);
}

int bind(int socket, const struct sockaddr *address, socklen_t length)
{
	THE_REAL(bind);
	return is_pretended(socket) ? 0 : real(socket, address, length);
}

int connect(int socket, const struct sockaddr *address, socklen_t length)
{
	THE_REAL(connect);
	return is_pretended(socket) ? 0 : real(socket, address, length);
}

int setsockopt(int socket, int level, int name, const void *value, socklen_t length)
{
	THE_REAL(setsockopt);
	return is_pretended(socket) ? 0 : real(socket, level, name, value, length);
}

int getsockname(int socket, struct sockaddr *address, socklen_t *length)
{
	THE_REAL(getsockname);
	if (!is_pretended(socket))
		return real(socket, address, length);
	struct sockaddr_nl own = address_of((unsigned)getpid());
	memcpy(address, &own, *length < sizeof own ? *length : sizeof own);
	*length = sizeof own;
	return 0;
}

ssize_t send(int socket, const void *bytes, size_t length, int flags)
{
	THE_REAL(send);
	return is_pretended(socket) ? serve_all(socket, bytes, length) : real(socket, bytes, length, flags);
}

ssize_t sendto(int socket, const void *bytes, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
	THE_REAL(sendto);
	return is_pretended(socket) ? serve_all(socket, bytes, length) : real(socket, bytes, length, flags, to, to_length);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags)
{
	THE_REAL(sendmsg);
	if (!is_pretended(socket))
		return real(socket, message, flags);
	static char whole[1 << 17] __attribute__((aligned(8)));
	size_t length = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++) {
		const struct iovec *part = &message->msg_iov[i];
		if (part->iov_len > sizeof whole - length) {
			errno = EMSGSIZE;
			return -1;
		}
		memcpy(whole + length, part->iov_base, part->iov_len);
		length += part->iov_len;
	}
	return serve_all(socket, whole, length);
}

ssize_t recvfrom(int socket, void *bytes, size_t length, int flags, struct sockaddr *from, socklen_t *from_length)
{
	THE_REAL(recvfrom);
	if (!is_pretended(socket))
		return real(socket, bytes, length, flags, from, from_length);
	ssize_t received = real(socket, bytes, length, flags, NULL, NULL);
	if (from && from_length) {
		struct sockaddr_nl kernel = address_of(0);
		memcpy(from, &kernel, *from_length < sizeof kernel ? *from_length : sizeof kernel);
		*from_length = sizeof kernel;
	}
	return received;
}

ssize_t recvmsg(int socket, struct msghdr *message, int flags)
{
	THE_REAL(recvmsg);
	void *name = message->msg_name;
	if (!is_pretended(socket) || !name)
		return real(socket, message, flags);
	struct sockaddr_nl kernel = address_of(0);
	socklen_t room = message->msg_namelen;
	message->msg_name = NULL;
	ssize_t received = real(socket, message, flags);
	message->msg_name = name;
	memcpy(name, &kernel, room < sizeof kernel ? room : sizeof kernel);
	message->msg_namelen = sizeof kernel;
	return received;
}
