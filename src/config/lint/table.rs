//! What each lint is called, what it finds, and why that is hardly meant. For `explain`, the manual and SARIF.

/// A lint, for people.
#[derive(Debug, Clone, Copy)]
pub struct Lint {
    /// Stable name.
    pub id: &'static str,
    /// What it finds.
    pub summary: &'static str,
    /// Why that is hardly meant, and what to do.
    pub why: &'static str,
}

/// Every lint.
pub const LINTS: &[Lint] = &[
    Lint {
        id: "duplicate-keyword",
        summary: "A keyword with one value stands twice in a block.",
        why: "Stock takes the last one without a word, so the first line has no effect, and whoever changes it wonders \
              why nothing happens. Remove one of them.",
    },
    Lint {
        id: "vip-in-two-instances",
        summary: "Two instances have the same virtual address.",
        why: "Each adds the address when it becomes master and removes it when it stops being one, so the address \
              disappears while one of them is still master. Give the address to one instance; instances that \
              belong together go into a vrrp_sync_group.",
    },
    Lint {
        id: "own-unicast-peer",
        summary: "A unicast peer is this node itself.",
        why: "Adverts sent to an own address reach nobody, and the peer that was meant is missing or listed besides. \
              The list holds the other nodes only, so it differs from node to node.",
    },
    Lint {
        id: "sorry-server-in-pool",
        summary: "The sorry server is one of the real servers.",
        why: "The sorry server takes over when too few real servers are alive; one that is checked and found dead \
              with them cannot. Name a server that is not in the pool.",
    },
    Lint {
        id: "quorum-out-of-reach",
        summary: "Quorum and hysteresis together are more than all real servers weigh.",
        why: "A lost quorum is gained again when the living weight reaches quorum plus hysteresis. When that is more \
              than all real servers weigh together it stays lost for ever, and the sorry server in use. \
              Lower one of them, or raise the weights.",
    },
    Lint {
        id: "all-weights-zero",
        summary: "Every real server has weight 0.",
        why: "The kernel sends no new connection to a server of weight 0, so the service refuses everybody however \
              healthy its servers are. Weight 0 is for draining one server of several.",
    },
    Lint {
        id: "timeout-not-below-interval",
        summary: "A script may run as long as its interval, or longer.",
        why: "A script that still runs when the next run is due delays that run, so failures are noticed later than \
              interval and fall promise. Make the timeout shorter than the interval.",
    },
    Lint {
        id: "virtual-server-not-local",
        summary: "The address of a virtual server is no address of this host nor of this file.",
        why: "IPVS serves packets that reach the host as its own. An address that is no VIP of an instance, no static \
              address and on no interface gets none, unless a route or a firewall brings them. Check the \
              address for typing mistakes, or add it to a virtual_ipaddress list.",
    },
    Lint {
        id: "unused-script",
        summary: "A vrrp_script that no instance and no group tracks.",
        why: "A script that nothing tracks is not run at all, so what it should notice goes unnoticed. Name it in the \
              track_script list of an instance, or remove the block.",
    },
    Lint {
        id: "weight-without-effect",
        summary: "A weight that can change no election.",
        why: "The priority of an instance stays between 1 and 254, and what counts is only whether it is above or below \
              the priority of the other nodes. A weight that leaves it on the same side, whatever the tracked things do, \
              changes nothing: a failed script then does not move the addresses. Make the weight larger than the \
              distance to the other node's priority.",
    },
    Lint {
        id: "vrid-twice",
        summary: "Two virtual routers of one segment have the same virtual_router_id.",
        why: "Nodes tell virtual routers apart by this number alone. Two of the same number on one segment take each \
              other's adverts for their own, log errors, and may both give up or both hold their addresses. \
              Give each virtual router of a segment a number of its own.",
    },
    Lint {
        id: "advert-interval-differs",
        summary: "Nodes of one virtual router have different values of advert_int.",
        why: "In version 2 a node drops adverts whose interval is not its own, so two masters appear. In version 3 \
              a backup takes over the master's interval, so the time until a takeover changes with the master. \
              Write the same value on all nodes.",
    },
    Lint {
        id: "version-differs",
        summary: "Nodes of one virtual router speak different versions of VRRP.",
        why: "A node drops adverts of another version than its own, so each becomes master and both hold the addresses. \
              Set the same version (or vrrp_version) on all nodes.",
    },
    Lint {
        id: "authentication-differs",
        summary: "Nodes of one virtual router have different authentication.",
        why: "Adverts with another type or password are dropped, so each node becomes master and both hold the addresses. \
              Write the same authentication block on all nodes. A password has at most 8 bytes.",
    },
    Lint {
        id: "addresses-differ",
        summary: "Nodes of one virtual router have different lists of virtual addresses.",
        why: "In version 2 a node logs an error for every advert whose addresses are not its own, and drops it, so two \
              masters may appear; and after a takeover some addresses are gone. Write the same list on all nodes; \
              addresses that need not be advertised go into virtual_ipaddress_excluded.",
    },
    Lint {
        id: "equal-priorities",
        summary: "Two nodes of one virtual router have the same priority.",
        why: "When both are up, the one with the higher address wins, which nobody chose and which changes when addresses \
              do. Give each node a priority of its own, or write `nopreempt` on all of them when it does not matter \
              which one is master.",
    },
    Lint {
        id: "two-owners",
        summary: "Two nodes of one virtual router have priority 255.",
        why: "255 says that the addresses are this node's own, and only one node can own them: an owner never yields, \
              so both stay master. Write a priority from 1 to 254 on all nodes but the owner.",
    },
    Lint {
        id: "transport-differs",
        summary: "One node of a virtual router sends by unicast, the other by multicast.",
        why: "A unicast node hears no multicast adverts and is heard by its peers only, so each node becomes master. \
              Write unicast_peer on all nodes, or on none.",
    },
    Lint {
        id: "peer-not-listed",
        summary: "A node's source address is not among the unicast peers of another.",
        why: "A node sends its adverts to its peers only. A node that is missing in a list hears nothing from that \
              master, and becomes master itself. List every other node on each node.",
    },
    Lint {
        id: "reload-refused",
        summary: "A running daemon would refuse to reload this configuration (check --running FILE).",
        why: "A reload that would do damage is refused, and the configuration that was running goes on: one that the \
              daemon would not start with, that lacks a brace the running one has, or whose includes cannot be read. \
              The other reports say what to mend.",
    },
];

/// Reports that stock makes, too, with an explanation: most of them count for `-t`. `check` can silence them as well.
pub const REPORTS: &[Lint] = &[
    Lint {
        id: "long-password",
        summary: "auth_pass is longer than 8 bytes.",
        why: "An advert has room for 8 bytes; the rest of the password is cut off, so two passwords that begin alike are \
              the same. Shorten it on all nodes alike.",
    },
    Lint {
        id: "misread-value",
        summary: "A value with a unit, which changes what it means.",
        why: "Times are in seconds, without a unit. Stock stops at the first letter and reads `3s` as 0.003 s or 0.000003 s, \
              which a running daemon then uses. Write the number of seconds alone.",
    },
    Lint {
        id: "bad-value",
        summary: "A value that the keyword does not take.",
        why: "The line is ignored, so an earlier value or the default holds. Stock reads some of them differently in a \
              running daemon, where leading digits are used, and under -t, where they are not.",
    },
    Lint {
        id: "strict-mode",
        summary: "A value that strict mode changes.",
        why: "With vrrp_strict or strict_mode the rules of the RFC hold: no authentication, three missed adverts, MASTER \
              only with priority 255, and so on. What contradicts them is changed, so the file says one thing and the \
              daemon does another. Remove the line, or strict mode.",
    },
    Lint {
        id: "contradiction",
        summary: "Two settings of which one cannot be kept.",
        why: "`nopreempt` with `state MASTER` is the commonest: a node that starts as master takes over, which is what \
              nopreempt forbids, so stock drops nopreempt. Write `state BACKUP` on all nodes and let priorities decide.",
    },
    Lint {
        id: "implied-owner",
        summary: "state MASTER without a priority makes the node the owner of its addresses.",
        why: "Without `priority` an instance with `state MASTER` has 255, the priority of an address owner: no other node \
              can ever take over from it while it lives, and weights do nothing. Write a priority.",
    },
    Lint {
        id: "weight-dropped",
        summary: "A weight that does not count here.",
        why: "An address owner has priority 255 whatever happens, and members of a sync group have one priority unless \
              sync_group_tracking_weight is set; so the weight is dropped and a failure puts the instance into FAULT or \
              does nothing. Lower the priority, or remove the weight.",
    },
    Lint {
        id: "no-protocol",
        summary: "A virtual server without protocol serves UDP.",
        why: "The default is UDP, not TCP, and packets of the other protocol are not balanced at all. Write \
              `protocol TCP` where TCP is meant.",
    },
    Lint {
        id: "quorum-too-high",
        summary: "The quorum is more than all real servers weigh.",
        why: "It could never be reached, so stock lowers it to what the real servers weigh together, and the loss of one \
              is then the loss of the quorum. Lower it, or add servers.",
    },
    Lint {
        id: "unknown-name",
        summary: "A list names something that is not defined before that line.",
        why: "Scripts, files, processes and BFD sessions must be defined before the block that names them; what is not \
              is left out, so the instance does not track it. Move the definition up, or mend the name.",
    },
    Lint {
        id: "script-not-found",
        summary: "A script whose file does not exist.",
        why: "The script is dropped: nothing is tracked by it, nobody is notified, or the check is removed and its real \
              server stays up. Create the file, or mend the path. Arguments go inside the quotes of the command.",
    },
    Lint {
        id: "script-not-executable",
        summary: "A script that its user may not execute.",
        why: "It cannot be started, so it counts as failed or is dropped. chmod +x the file, and look at the `user` of the \
              script or `script_user`.",
    },
    Lint {
        id: "script-insecure",
        summary: "Somebody else than root can change a script that runs as root.",
        why: "The file itself and every directory above it must belong to root and be writable by root only; otherwise \
              whoever can change one of them becomes root. With enable_script_security such a script is not run. \
              The report names the part of the path, and who can change it.",
    },
    Lint {
        id: "script-behind-symlink",
        summary: "The path of a script goes through a directory that is a symlink.",
        why: "keepalived 2.4.3 takes such a path for insecure and disables the script, which on systems where /bin is a \
              symlink to /usr/bin hits every script below /bin. Write the path without the symlink.",
    },
    Lint {
        id: "no-script-security",
        summary: "Scripts are run, but enable_script_security is not set.",
        why: "keepalived runs scripts as root unless it is told otherwise, and -t ends with 6 for that. Add \
              `enable_script_security` and `script_user USER` to global_defs.",
    },
    Lint {
        id: "unknown-keyword",
        summary: "A word that the block does not know.",
        why: "The line is skipped. When it opens a block, the lines inside are read as lines of the block around it, and \
              its closing brace closes that one: everything behind may then mean something else.",
    },
    Lint {
        id: "unknown-block",
        summary: "A block that the block around it does not know.",
        why: "Its lines are read as lines of the block around it, and its closing brace closes that one: what follows is \
              read in the wrong place or lost. A running daemon keeps what it has rather than take over such a file.",
    },
    Lint {
        id: "block-not-closed",
        summary: "A closing brace is missing.",
        why: "What follows is read as part of the open block. At the end of the file stock closes all blocks and goes on, \
              so it starts, with lines in the wrong place.",
    },
    Lint {
        id: "missing-argument",
        summary: "A keyword without its value.",
        why: "Most keywords stop the reading of the whole file there: nothing behind is looked at, and the daemon does not \
              start (exit 2).",
    },
    Lint {
        id: "deprecated-keyword",
        summary: "An old spelling of a keyword.",
        why: "It still works. Where the report says that -t counts it, a reload with reload_check_config would be refused.",
    },
];

/// The lint, or the report with an explanation, of that name.
pub fn find(id: &str) -> Option<&'static Lint> {
    LINTS.iter().chain(REPORTS).find(|lint| lint.id == id)
}
