#!/bin/sh
# Process 1 of the guest kernel: the machine's own file tree, with fresh /run and /tmp. lab=FILE on the kernel's command line
# names the script to run; modules=DIR the folder above lib/modules. The guest ends with the script.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8
mount -n -t proc proc /proc
mount -n -t sysfs sysfs /sys
mount -n -t tmpfs tmpfs /run
script=$(sed -n 's/.*\<lab=\([^ ]*\).*/\1/p' /proc/cmdline)
modules=$(sed -n 's/.*\<modules=\([^ ]*\).*/\1/p' /proc/cmdline)
# What lies below /tmp stays visible when the project itself does.
case $script in /tmp/*) ;; *) mount -n -t tmpfs tmpfs /tmp ;; esac
ip link set lo up
for module in ip_vs ip_vs_rr ip_vs_wrr ip_vs_lc ip_vs_wlc ip_vs_lblc ip_vs_lblcr ip_vs_sh ip_vs_mh ip_vs_dh ip_vs_fo \
    ip_vs_ovf ip_vs_sed ip_vs_nq veth bridge ipip iptable_mangle xt_mark macvlan ipvlan vrf dummy \
    mpls_router mpls_iptunnel sctp fou ip_gre; do
    modprobe -q -d "$modules" "$module" || echo "no module $module"
done
sh "$script"
sync
echo o >/proc/sysrq-trigger
sleep 5
halt -f
