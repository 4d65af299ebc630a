// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

func TestCheckCIDRs(t *testing.T) {
	for _, c := range []struct {
		networks []v1alpha1.CIDR
		says     string // "" = nothing is wrong
	}{
		{nil, ""},
		{[]v1alpha1.CIDR{"203.0.113.0/24"}, ""},
		{[]v1alpha1.CIDR{"203.0.113.0/25", "203.0.113.128/25", "2a00:1450::/32", "2a00:1451::/32"}, ""},
		{[]v1alpha1.CIDR{"9.0.0.0/8", "11.0.0.0/8", "172.32.0.0/12", "100.128.0.0/10", "1.0.0.0/8"}, ""},
		{[]v1alpha1.CIDR{"0.0.0.0/0"}, "0.0.0.0/0 is everywhere"},
		{[]v1alpha1.CIDR{"::/0"}, "::/0 is everywhere"},
		{[]v1alpha1.CIDR{"2000::/3"}, "2000::/3 is everywhere"},
		{[]v1alpha1.CIDR{"0.0.0.0/1"}, "0.0.0.0/1 holds addresses of 0.0.0.0/8"},
		{[]v1alpha1.CIDR{"128.0.0.0/1"}, "128.0.0.0/1 holds addresses of 169.254.0.0/16"},
		{[]v1alpha1.CIDR{"::/1"}, "::/1 holds addresses outside of 2000::/3"},
		{[]v1alpha1.CIDR{"203.0.113.0/24", "10.1.0.0/16"}, "10.1.0.0/16 holds addresses of 10.0.0.0/8"},
		{[]v1alpha1.CIDR{"172.31.0.0/16"}, "172.31.0.0/16 holds addresses of 172.16.0.0/12"},
		{[]v1alpha1.CIDR{"192.168.1.1/32"}, "192.168.1.1/32 holds addresses of 192.168.0.0/16"},
		{[]v1alpha1.CIDR{"100.64.0.0/10"}, "100.64.0.0/10 holds addresses of 100.64.0.0/10"},
		{[]v1alpha1.CIDR{"127.0.0.1/32"}, "127.0.0.1/32 holds addresses of 127.0.0.0/8"},
		{[]v1alpha1.CIDR{"169.254.169.254/32"}, "169.254.169.254/32 holds addresses of 169.254.0.0/16"},
		{[]v1alpha1.CIDR{"224.0.0.0/8"}, "224.0.0.0/8 holds addresses of 224.0.0.0/4"},
		{[]v1alpha1.CIDR{"fd00::/8"}, "fd00::/8 holds addresses outside of 2000::/3"},
		{[]v1alpha1.CIDR{"fe80::/10"}, "fe80::/10 holds addresses outside of 2000::/3"},
		{[]v1alpha1.CIDR{"::1/128"}, "::1/128 holds addresses outside of 2000::/3"},
		{[]v1alpha1.CIDR{"::ffff:203.0.113.0/120"}, "holds addresses outside of 2000::/3"},
		{[]v1alpha1.CIDR{"203.0.113.0/24", "203.0.113.128/25"}, "203.0.113.0/24 and 203.0.113.128/25 overlap"},
		{[]v1alpha1.CIDR{"203.0.113.128/25", "203.0.113.0/24"}, "203.0.113.128/25 and 203.0.113.0/24 overlap"},
		{[]v1alpha1.CIDR{"2a00::/16", "203.0.113.0/24", "2a00:1450::/32"}, "2a00::/16 and 2a00:1450::/32 overlap"},
		{[]v1alpha1.CIDR{"203.0.113.0/24", "203.0.113.0/24"}, "overlap"},
		{[]v1alpha1.CIDR{"203.0.113.7/24"}, `"203.0.113.7/24" is not a network`},
		{[]v1alpha1.CIDR{"203.0.113.7"}, `"203.0.113.7" is not a network`},
		{[]v1alpha1.CIDR{""}, `"" is not a network`},
	} {
		got := CheckCIDRs(c.networks)
		if c.says == "" && got != "" || !strings.Contains(got, c.says) {
			t.Errorf("%v: it says %q", c.networks, got)
		}
	}
}

func TestExcluded(t *testing.T) {
	networks := []v1alpha1.CIDR{"203.0.113.0/24", "2a00:1450::/32"}
	for _, c := range []struct {
		networks  []v1alpha1.CIDR
		addresses string
		want      string
	}{
		{networks, "203.0.113.7 203.0.113.255 2a00:1450::9 ::ffff:203.0.113.7", ""},
		{networks, "203.0.113.7 203.0.114.0 198.51.100.1", "203.0.114.0"},
		{networks, "2a00:1451::1", "2a00:1451::1"},
		{networks, "", ""},
		{nil, "198.51.100.1", ""},
	} {
		var addresses []netip.Addr
		for a := range strings.FieldsSeq(c.addresses) {
			addresses = append(addresses, netip.MustParseAddr(a))
		}
		if got := Excluded(c.networks, addresses); got != c.want {
			t.Errorf("%s in %v: %q", c.addresses, c.networks, got)
		}
	}
}
