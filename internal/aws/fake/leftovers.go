// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/xml"
	"slices"
	"time"
)

// Leftover is a kind of credential that the fake only lists and deletes, for it stands in the way of DeleteUser.
type Leftover string

// The kinds of leftovers for AddLeftover.
const (
	SigningCertificate        Leftover = "SigningCertificate"
	SSHPublicKey              Leftover = "SSHPublicKey"
	ServiceSpecificCredential Leftover = "ServiceSpecificCredential"
)

type leftover struct {
	kind    Leftover
	id      string
	login   string // user name of a service-specific credential, which a rename of the user does not change (recorded)
	created time.Time
}

// leftoverKinds tells how each kind is written: the prefix of its identifiers and the names of elements.
var leftoverKinds = map[Leftover]struct{ prefix, list, id, date string }{
	SigningCertificate:        {"ASCA", "Certificates", "CertificateId", "UploadDate"},
	SSHPublicKey:              {"APKA", "SSHPublicKeys", "SSHPublicKeyId", "UploadDate"},
	ServiceSpecificCredential: {"ACCA", "ServiceSpecificCredentials", "ServiceSpecificCredentialId", "CreateDate"},
}

// textXML is an element whose name depends.
type textXML struct {
	XMLName xml.Name
	Text    string `xml:",chardata"`
}

func listLeftovers(kind Leftover) handler {
	names := leftoverKinds[kind]
	type leftoverXML struct {
		UserName, Status             string
		ID, Date                     textXML
		ServiceName, ServiceUserName string `xml:",omitempty"`
		CertificateBody              string `xml:",omitempty"`
	}
	return ofUserOrCaller(func(c *call, u *user) any {
		var items []leftoverXML
		for _, l := range u.leftovers {
			if l.kind != kind {
				continue
			}
			x := leftoverXML{UserName: u.name, Status: "Active"}
			x.ID = textXML{xml.Name{Local: names.id}, l.id}
			x.Date = textXML{xml.Name{Local: names.date}, stamp(l.created)}
			switch kind {
			case SSHPublicKey: // shown without its body
			case ServiceSpecificCredential:
				x.ServiceName, x.ServiceUserName = "codecommit.amazonaws.com", l.login
			case SigningCertificate:
				x.CertificateBody = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----"
			}
			items = append(items, x)
		}
		return page(c, names.list, items, func(x leftoverXML) string { return x.ID.Text })
	})
}

func deleteLeftover(kind Leftover) handler {
	return ofUserOrCaller(func(c *call, u *user) any {
		id := c.required(leftoverKinds[kind].id)
		i := slices.IndexFunc(u.leftovers, func(l leftover) bool { return l.kind == kind && l.id == id })
		if i < 0 {
			return c.notFound("The %s with id %s cannot be found.", kind, id)
		}
		u.leftovers = slices.Delete(u.leftovers, i, i+1)
		return nil
	})
}

// gives adds a credential of a rarer kind to the user; most is how many of the kind a user may have.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func (c *call) gives(u *user, kind Leftover, most int, quota string) *leftover {
	count := 0
	for _, l := range u.leftovers {
		if l.kind == kind {
			count++
		}
	}
	if count >= most {
		c.exceeds(quota, most)
	}
	if c.err != nil {
		return nil
	}
	l := leftover{kind: kind, id: c.newID(leftoverKinds[kind].prefix, 21), login: u.name + "-at-" + c.iam.config.Account, created: c.now}
	u.leftovers = append(u.leftovers, l)
	return &l
}

func uploadSSHPublicKey(c *call, u *user) any {
	c.required("SSHPublicKeyBody")
	type keyXML struct{ UserName, SSHPublicKeyId, Status, UploadDate string } //nolint:revive // AWS spells it so
	if l := c.gives(u, SSHPublicKey, sshKeysPerUser, "SSHPublicKeysPerUser"); l != nil {
		return struct{ SSHPublicKey keyXML }{keyXML{u.name, l.id, "Active", stamp(l.created)}}
	}
	return nil
}

func uploadSigningCertificate(c *call, u *user) any {
	body := c.required("CertificateBody")
	type certificateXML struct{ UserName, CertificateId, CertificateBody, Status, UploadDate string } //nolint:revive // AWS spells it so
	if l := c.gives(u, SigningCertificate, certificatesOfUser, "SigningCertificatesPerUser"); l != nil {
		return struct{ Certificate certificateXML }{certificateXML{u.name, l.id, body, "Active", stamp(l.created)}}
	}
	return nil
}

func createServiceSpecificCredential(c *call, u *user) any {
	service := c.required("ServiceName")
	type credentialXML struct {
		UserName, ServiceSpecificCredentialId, ServiceName, ServiceUserName, ServicePassword, Status, CreateDate string //nolint:revive // AWS spells it so
	}
	if l := c.gives(u, ServiceSpecificCredential, 2, "ServiceSpecificCredentialsPerUser"); l != nil {
		return struct{ ServiceSpecificCredential credentialXML }{credentialXML{u.name, l.id, service, l.login, c.newID("", 40), "Active", stamp(l.created)}}
	}
	return nil
}
