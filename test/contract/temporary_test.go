// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"golang.org/x/crypto/ssh"
)

const below = "/prod-access/break-glass/"

// virtual makes a virtual MFA device of nobody.
func (a *account) virtual(name string, tags ...types.Tag) *types.VirtualMFADevice {
	return must(a.iam.CreateVirtualMFADevice(a.ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &name, Path: aws.String(below), Tags: tags})).VirtualMFADevice
}

// unassigned are the serial numbers of the devices of nobody.
func (a *account) unassigned() (serials []string) {
	for _, d := range must(a.iam.ListVirtualMFADevices(a.ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: types.AssignmentStatusTypeUnassigned})).VirtualMFADevices {
		serials = append(serials, str(d.SerialNumber))
	}
	return serials
}

// deleted says whether a user can be deleted.
func (a *account) deleted(name string) error {
	_, err := a.iam.DeleteUser(a.ctx, &iam.DeleteUserInput{UserName: &name})
	return err
}

// temporaryUsers are what the life of a temporary user depends on.
func temporaryUsers() []check {
	alice := aws.String("alice")
	return []check{
		{"CreateLoginProfile", "gives a password that need not be changed, once", documented, func(a *account) {
			a.user("alice")
			in := &iam.CreateLoginProfileInput{UserName: alice, Password: aws.String("Correct-horse-9-battery")}
			made := must(a.iam.CreateLoginProfile(a.ctx, in))
			equal(a, "whether it must be changed", made.LoginProfile.PasswordResetRequired, false)
			_, err := a.iam.CreateLoginProfile(a.ctx, in)
			a.refused(err, "EntityAlreadyExists", 409)
		}},
		{"CreateVirtualMFADevice", "answers a serial number below the path, and a seed", documented, func(a *account) {
			made := a.virtual("phone")
			equal(a, "the end of the serial number", strings.HasSuffix(str(made.SerialNumber), ":mfa"+below+"phone"), true)
			equal(a, "whether there is a seed", len(made.Base32StringSeed) > 0, true)
		}},
		{"CreateVirtualMFADevice", "refuses a name that is taken", documented, func(a *account) {
			a.virtual("phone")
			_, err := a.iam.CreateVirtualMFADevice(a.ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("phone"), Path: aws.String(below)})
			a.refused(err, "EntityAlreadyExists", 409)
		}},
		{"ListMFADeviceTags", "shows the tags of a device", documented, func(a *account) {
			made := a.virtual("phone", types.Tag{Key: aws.String("prod-access/cluster"), Value: aws.String("hera")})
			out, err := a.iam.ListMFADeviceTags(a.ctx, &iam.ListMFADeviceTagsInput{SerialNumber: made.SerialNumber})
			done(0, err)
			if len(out.Tags) == 1 {
				equal(a, "the tag", str(out.Tags[0].Key)+"="+str(out.Tags[0].Value), "prod-access/cluster=hera")
			} else {
				equal(a, "the number of tags", len(out.Tags), 1)
			}
		}},
		{"ListVirtualMFADevices", "shows devices of nobody until they are somebody's", documented, func(a *account) {
			a.user("alice")
			serial := str(a.virtual("left").SerialNumber)
			a.device("alice", "phone")
			equal(a, "the devices of nobody", strings.Join(a.unassigned(), " "), serial)
		}},
		{"DeactivateMFADevice", "leaves a virtual device that is nobody's", documented, func(a *account) {
			a.user("alice")
			serial := a.device("alice", "phone")
			done(a.iam.DeactivateMFADevice(a.ctx, &iam.DeactivateMFADeviceInput{UserName: alice, SerialNumber: &serial}))
			equal(a, "the devices of nobody", strings.Join(a.unassigned(), " "), serial)
		}},
		{"DeleteVirtualMFADevice", "deletes a device of nobody, and then knows none", documented, func(a *account) {
			serial := a.virtual("phone").SerialNumber
			done(a.iam.DeleteVirtualMFADevice(a.ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial}))
			equal(a, "the number of devices", len(a.unassigned()), 0)
			_, err := a.iam.DeleteVirtualMFADevice(a.ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: serial})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"DeleteAccessKey", "deletes a key, which kept the user", documented, func(a *account) {
			a.user("alice")
			id := a.key("alice")
			a.refused(a.deleted("alice"), "DeleteConflict", 409)
			done(a.iam.DeleteAccessKey(a.ctx, &iam.DeleteAccessKeyInput{UserName: alice, AccessKeyId: &id}))
			done(0, a.deleted("alice"))
		}},
		{"DetachUserPolicy", "detaches a policy, which kept the user", documented, func(a *account) {
			a.user("alice")
			arn := a.policy("extra")
			done(a.iam.AttachUserPolicy(a.ctx, &iam.AttachUserPolicyInput{UserName: alice, PolicyArn: &arn}))
			a.refused(a.deleted("alice"), "DeleteConflict", 409)
			done(a.iam.DetachUserPolicy(a.ctx, &iam.DetachUserPolicyInput{UserName: alice, PolicyArn: &arn}))
			done(0, a.deleted("alice"))
		}},
		{"ListSSHPublicKeys", "shows the id of a key", documented, func(a *account) {
			a.user("alice")
			id := a.sshKey("alice")
			found := must(a.iam.ListSSHPublicKeys(a.ctx, &iam.ListSSHPublicKeysInput{UserName: alice})).SSHPublicKeys
			equal(a, "the number of keys", len(found), 1)
			for _, k := range found {
				equal(a, "the id", str(k.SSHPublicKeyId), id)
			}
		}},
		{"DeleteSSHPublicKey", "deletes a key, which kept the user", documented, func(a *account) {
			a.user("alice")
			id := a.sshKey("alice")
			a.refused(a.deleted("alice"), "DeleteConflict", 409)
			done(a.iam.DeleteSSHPublicKey(a.ctx, &iam.DeleteSSHPublicKeyInput{UserName: alice, SSHPublicKeyId: &id}))
			done(0, a.deleted("alice"))
		}},
		{"ListSigningCertificates", "shows the id of a certificate", documented, func(a *account) {
			a.user("alice")
			id := a.certificate("alice")
			found := must(a.iam.ListSigningCertificates(a.ctx, &iam.ListSigningCertificatesInput{UserName: alice})).Certificates
			equal(a, "the number of certificates", len(found), 1)
			for _, c := range found {
				equal(a, "the id", str(c.CertificateId), id)
			}
		}},
		{"DeleteSigningCertificate", "deletes a certificate, which kept the user", documented, func(a *account) {
			a.user("alice")
			id := a.certificate("alice")
			a.refused(a.deleted("alice"), "DeleteConflict", 409)
			done(a.iam.DeleteSigningCertificate(a.ctx, &iam.DeleteSigningCertificateInput{UserName: alice, CertificateId: &id}))
			done(0, a.deleted("alice"))
		}},
		{"ListServiceSpecificCredentials", "shows those of every service", documented, func(a *account) {
			a.user("alice")
			made, err := a.iam.CreateServiceSpecificCredential(a.ctx, &iam.CreateServiceSpecificCredentialInput{UserName: alice, ServiceName: aws.String("codecommit.amazonaws.com")})
			done(0, err)
			found := must(a.iam.ListServiceSpecificCredentials(a.ctx, &iam.ListServiceSpecificCredentialsInput{UserName: alice})).ServiceSpecificCredentials
			equal(a, "the number of credentials", len(found), 1)
			for _, c := range found {
				equal(a, "the id", str(c.ServiceSpecificCredentialId), str(made.ServiceSpecificCredential.ServiceSpecificCredentialId))
			}
		}},
		{"DeleteServiceSpecificCredential", "deletes one, which kept the user", documented, func(a *account) {
			a.user("alice")
			made, err := a.iam.CreateServiceSpecificCredential(a.ctx, &iam.CreateServiceSpecificCredentialInput{UserName: alice, ServiceName: aws.String("codecommit.amazonaws.com")})
			done(0, err)
			a.refused(a.deleted("alice"), "DeleteConflict", 409)
			done(a.iam.DeleteServiceSpecificCredential(a.ctx, &iam.DeleteServiceSpecificCredentialInput{UserName: alice,
				ServiceSpecificCredentialId: made.ServiceSpecificCredential.ServiceSpecificCredentialId}))
			done(0, a.deleted("alice"))
		}},
		{"ListAccountAliases", "shows the alias of the account", documented, func(a *account) {
			done(a.iam.CreateAccountAlias(a.ctx, &iam.CreateAccountAliasInput{AccountAlias: aws.String("hera-prod")}))
			equal(a, "the alias", strings.Join(must(a.iam.ListAccountAliases(a.ctx, &iam.ListAccountAliasesInput{})).AccountAliases, " "), "hera-prod")
		}},
	}
}

// sshKey gives a user an SSH key.
func (a *account) sshKey(user string) string {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	done(public, err)
	text := string(ssh.MarshalAuthorizedKey(must(ssh.NewPublicKey(public))))
	return *must(a.iam.UploadSSHPublicKey(a.ctx, &iam.UploadSSHPublicKeyInput{UserName: &user, SSHPublicKeyBody: &text})).SSHPublicKey.SSHPublicKeyId
}

// certificate gives a user a signing certificate.
func (a *account) certificate(user string) string {
	key := must(rsa.GenerateKey(rand.Reader, 2048))
	made := a.now
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: user}, NotBefore: made, NotAfter: made.Add(24 * time.Hour)}
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))}))
	return *must(a.iam.UploadSigningCertificate(a.ctx, &iam.UploadSigningCertificateInput{UserName: &user, CertificateBody: &text})).Certificate.CertificateId
}
