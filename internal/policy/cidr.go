// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"fmt"
	"net/netip"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// neverPublic are networks that AWS never sees as the source of a request. Networks of documentation are not among them:
// nobody is locked in by them, and examples live there.
// Source: https://www.iana.org/assignments/iana-ipv4-special-registry/
var neverPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("224.0.0.0/4"),
	netip.MustParsePrefix("240.0.0.0/4"),
}

// publicIPv6 is all of IPv6 that is routed between networks.
// Source: https://www.iana.org/assignments/ipv6-address-space/
var publicIPv6 = netip.MustParsePrefix("2000::/3")

// CheckCIDRs says what is wrong with a role's networks, "" if nothing is.
func CheckCIDRs(cidrs []v1alpha1.CIDR) string {
	var seen []netip.Prefix
	for _, c := range cidrs {
		network, err := netip.ParsePrefix(string(c))
		if err != nil || network != network.Masked() {
			return fmt.Sprintf("%.64q is not a network in CIDR notation, written with its first address, such as 203.0.113.0/24", c)
		}
		if wrong := checkNetwork(network); wrong != "" {
			return wrong
		}
		for _, other := range seen {
			if network.Overlaps(other) {
				return fmt.Sprintf("%s and %s overlap: one of them says less than it seems to, so leave one out", other, network)
			}
		}
		seen = append(seen, network)
	}
	return ""
}

func checkNetwork(network netip.Prefix) string {
	if network.Bits() == 0 || network == publicIPv6 {
		return fmt.Sprintf("%s is everywhere, which is no restriction: leave the list of networks out instead", network)
	}
	if network.Addr().Is4() {
		for _, private := range neverPublic {
			if network.Overlaps(private) {
				return notPublic(network, "of "+private.String())
			}
		}
		return ""
	}
	if !publicIPv6.Overlaps(network) || network.Bits() < publicIPv6.Bits() {
		return notPublic(network, "outside of "+publicIPv6.String())
	}
	return ""
}

func notPublic(network netip.Prefix, which string) string {
	return fmt.Sprintf("%s holds addresses %s, which are never public: name the networks that requests leave from, since AWS sees no other",
		network, which)
}

// Excluded names the first of these addresses that no network holds, "" when all are held or there are no networks.
func Excluded(cidrs []v1alpha1.CIDR, addresses []netip.Addr) string {
	if len(cidrs) == 0 {
		return ""
	}
	for _, address := range addresses {
		if !held(cidrs, address.Unmap()) {
			return address.String()
		}
	}
	return ""
}

func held(cidrs []v1alpha1.CIDR, address netip.Addr) bool {
	for _, c := range cidrs {
		if network, err := netip.ParsePrefix(string(c)); err == nil && network.Contains(address) {
			return true
		}
	}
	return false
}
