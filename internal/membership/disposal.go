// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// Delete deletes a temporary user with everything that hangs on it, whoever put it there, and its MFA device. It returns nil once AWS
// shows none of it; what is not of this emergency is left alone. One call and a reading of the account when there is nothing.
func (e *Engine) Delete(ctx context.Context, t Temporary) error {
	ctx = aws.OnTemporaryUser(aws.ForRemoval(ctx))
	unlock, err := e.people.lock(ctx, t.Name)
	if err != nil {
		return err
	}
	defer unlock()
	u, err := e.find(ctx, t)
	if err != nil {
		return say(err)
	}
	if u != nil {
		return e.dispose(ctx, u)
	}
	// A device may be left of a user that somebody else has deleted.
	at, err := arn.Parse(e.options.Boundary)
	if err != nil {
		return nil // nothing is ever made without one
	}
	if err := e.deleteDevice(ctx, deviceOf(at, t.Name)); err != nil {
		return say(err)
	}
	return nil
}

// find is the user as AWS has it now, under whatever name; nil if it is gone.
func (e *Engine) find(ctx context.Context, t Temporary) (*types.User, error) {
	u, err := e.temporary(ctx, t.Name)
	if err != nil || u != nil && e.isOurs(u, t) {
		return u, err
	}
	all, err := e.readAccount(ctx, 0)
	if err != nil {
		return nil, err
	}
	for _, known := range all.users {
		if known.Name == t.Name || known.UserID != t.UserID && known.Tags[v1alpha1.EmergencyTag] != t.Emergency {
			continue
		}
		if u, err := e.temporary(ctx, known.Name); err != nil || u != nil && e.isOurs(u, t) {
			return u, err
		}
	}
	return nil, nil
}

// dispose takes everything from a user first, and then deletes it with every trace. The order is that of AWS, which deletes no
// user that anything hangs on; and it is read back.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeleteUser.html
func (e *Engine) dispose(ctx context.Context, u *types.User) error {
	name := *u.UserName
	contained := e.contain(ctx, name)
	if err := e.strip(ctx, u); err != nil {
		return say(errors.Join(contained, err))
	}
	if _, err := e.iam.DeleteUser(ctx, &iam.DeleteUserInput{UserName: &name}); err != nil && !aws.IsNotFound(err) {
		return say(err)
	}
	left, err := e.temporary(ctx, name)
	switch {
	case err != nil:
		return say(err)
	case left != nil && *left.UserId == *u.UserId:
		return fmt.Errorf("AWS still shows the IAM user %s", name)
	}
	return nil
}

// denyAll denies everything, at once.
const denyAll = `{"Version":"2012-10-17","Statement":[{"Sid":"ProdAccessContained","Effect":"Deny","Action":"*","Resource":"*"}]}`

// contain makes a user useless. What fails does not stop the rest: the user is deleted in any case.
func (e *Engine) contain(ctx context.Context, user string) error {
	_, denied := e.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: new(policy.ContainmentName), PolicyDocument: new(denyAll)})
	_, shut := e.iam.DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &user})
	keys, failed := e.keysOf(ctx, user)
	errs := []error{ignoreGone(denied), ignoreGone(shut), ignoreGone(failed)}
	for _, k := range keys {
		_, err := e.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: k.AccessKeyId, Status: types.StatusTypeInactive})
		errs = append(errs, ignoreGone(err))
	}
	return errors.Join(errs...)
}

// strip takes off a user what keeps AWS from deleting it. Its inline policies are last, and of those what denies.
func (e *Engine) strip(ctx context.Context, u *types.User) error {
	user := *u.UserName
	errs := []error{
		e.leaveGroups(ctx, *u.UserId, user), e.deleteKeys(ctx, user), e.deleteCertificates(ctx, user), e.deleteSSHKeys(ctx, user),
		e.deleteServiceCredentials(ctx, user), e.deleteDevices(ctx, u), e.detachPolicies(ctx, user),
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return e.deletePolicies(ctx, user)
}

func (e *Engine) leaveGroups(ctx context.Context, userID, user string) error {
	groups, err := e.memberships(ctx, user)
	errs := []error{ignoreGone(err)}
	for _, group := range groups {
		e.absences.clear(userID, group)
		_, err := e.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{GroupName: &group, UserName: &user})
		errs = append(errs, ignoreGone(err))
	}
	return errors.Join(errs...)
}

func (e *Engine) deleteKeys(ctx context.Context, user string) error {
	keys, err := e.keysOf(ctx, user)
	return each(keys, err, func(k types.AccessKeyMetadata) error {
		_, err := e.iam.DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: k.AccessKeyId})
		return err
	})
}

func (e *Engine) keysOf(ctx context.Context, user string) ([]types.AccessKeyMetadata, error) {
	return pages(func(marker *string) ([]types.AccessKeyMetadata, bool, *string, error) {
		out, err := e.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &user, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.AccessKeyMetadata, out.IsTruncated, out.Marker, nil
	})
}

func (e *Engine) deleteCertificates(ctx context.Context, user string) error {
	certificates, err := pages(func(marker *string) ([]types.SigningCertificate, bool, *string, error) {
		out, err := e.iam.ListSigningCertificates(ctx, &iam.ListSigningCertificatesInput{UserName: &user, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.Certificates, out.IsTruncated, out.Marker, nil
	})
	return each(certificates, err, func(c types.SigningCertificate) error {
		_, err := e.iam.DeleteSigningCertificate(ctx, &iam.DeleteSigningCertificateInput{UserName: &user, CertificateId: c.CertificateId})
		return err
	})
}

func (e *Engine) deleteSSHKeys(ctx context.Context, user string) error {
	keys, err := pages(func(marker *string) ([]types.SSHPublicKeyMetadata, bool, *string, error) {
		out, err := e.iam.ListSSHPublicKeys(ctx, &iam.ListSSHPublicKeysInput{UserName: &user, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.SSHPublicKeys, out.IsTruncated, out.Marker, nil
	})
	return each(keys, err, func(k types.SSHPublicKeyMetadata) error {
		_, err := e.iam.DeleteSSHPublicKey(ctx, &iam.DeleteSSHPublicKeyInput{UserName: &user, SSHPublicKeyId: k.SSHPublicKeyId})
		return err
	})
}

// deleteServiceCredentials deletes those of every service: none is named.
func (e *Engine) deleteServiceCredentials(ctx context.Context, user string) error {
	credentials, err := pages(func(marker *string) ([]types.ServiceSpecificCredentialMetadata, bool, *string, error) {
		out, err := e.iam.ListServiceSpecificCredentials(ctx, &iam.ListServiceSpecificCredentialsInput{UserName: &user, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.ServiceSpecificCredentials, out.IsTruncated, out.Marker, nil
	})
	return each(credentials, err, func(c types.ServiceSpecificCredentialMetadata) error {
		_, err := e.iam.DeleteServiceSpecificCredential(ctx, &iam.DeleteServiceSpecificCredentialInput{UserName: &user, ServiceSpecificCredentialId: c.ServiceSpecificCredentialId})
		return err
	})
}

// deleteDevices deactivates every MFA device, and deletes the virtual ones, and that of the user's name in any case.
func (e *Engine) deleteDevices(ctx context.Context, u *types.User) error {
	user := *u.UserName
	devices, err := pages(func(marker *string) ([]types.MFADevice, bool, *string, error) {
		out, err := e.iam.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: &user, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.MFADevices, out.IsTruncated, out.Marker, nil
	})
	err = each(devices, err, func(d types.MFADevice) error {
		if _, err := e.iam.DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: &user, SerialNumber: d.SerialNumber}); ignoreGone(err) != nil {
			return err
		}
		if d.SerialNumber == nil || !isVirtual(*d.SerialNumber) {
			return nil
		}
		return e.deleteDevice(ctx, *d.SerialNumber)
	})
	if err != nil {
		return err
	}
	at, err := arn.Parse(*u.Arn)
	if err != nil {
		return err
	}
	return e.deleteDevice(ctx, deviceOf(at, user))
}

// isVirtual says whether the serial number of an MFA device is that of a virtual one: an ARN, of the type mfa.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_DeactivateMFADevice.html
func isVirtual(serial string) bool {
	at, err := arn.Parse(serial)
	return err == nil && strings.HasPrefix(at.Resource, "mfa/")
}

func (e *Engine) deleteDevice(ctx context.Context, serial string) error {
	_, err := e.iam.DeleteVirtualMFADevice(ctx, &iam.DeleteVirtualMFADeviceInput{SerialNumber: &serial})
	return ignoreGone(err)
}

func (e *Engine) detachPolicies(ctx context.Context, user string) error {
	attached, err := pages(func(marker *string) ([]types.AttachedPolicy, bool, *string, error) {
		out, err := e.iam.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &user, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.AttachedPolicies, out.IsTruncated, out.Marker, nil
	})
	return each(attached, err, func(p types.AttachedPolicy) error {
		_, err := e.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &user, PolicyArn: p.PolicyArn})
		return err
	})
}

// deletePolicies deletes the inline policies; what denies everything goes last.
func (e *Engine) deletePolicies(ctx context.Context, user string) error {
	names, err := e.policiesOf(ctx, user)
	if aws.IsNotFound(err) {
		return nil
	}
	slices.SortFunc(names, func(a, b string) int {
		last := func(name string) int {
			if name == policy.ContainmentName {
				return 1
			}
			return 0
		}
		return last(a) - last(b)
	})
	return each(names, err, func(name string) error { return e.unfence(ctx, user, name) })
}

// Stray is a temporary user, or an MFA device of one, that AWS has.
type Stray struct {
	Temporary
	// Device is the serial number of the device, "" for a user.
	Device string
}

// Strays are all temporary users of this cluster as the last reading of the account has them, and the MFA devices of theirs that
// belong to no user. One call for the devices, and one for each that is below the path.
func (e *Engine) Strays(ctx context.Context) ([]Stray, error) {
	var strays []Stray
	all := e.lastReading()
	if all == nil || e.options.Cluster == "" {
		return nil, nil
	}
	for _, u := range all.users {
		if of := u.Tags[v1alpha1.EmergencyTag]; isBelow(u.ARN) && u.Tags[v1alpha1.ClusterTag] == e.options.Cluster && of != "" {
			strays = append(strays, Stray{Temporary: Temporary{Name: u.Name, Emergency: of, UserID: u.UserID}})
		}
	}
	if e.options.Boundary == "" {
		return strays, nil
	}
	devices, err := e.strayDevices(aws.OnTemporaryUser(ctx))
	if err != nil {
		err = say(err)
	}
	return append(strays, devices...), err
}

// strayDevices are the MFA devices below the path that belong to no user.
func (e *Engine) strayDevices(ctx context.Context) ([]Stray, error) {
	var strays []Stray
	devices, err := pages(func(marker *string) ([]types.VirtualMFADevice, bool, *string, error) {
		out, err := e.iam.ListVirtualMFADevices(ctx, &iam.ListVirtualMFADevicesInput{AssignmentStatus: types.AssignmentStatusTypeUnassigned, Marker: marker})
		if err != nil {
			return nil, false, nil, err
		}
		return out.VirtualMFADevices, out.IsTruncated, out.Marker, nil
	})
	if err != nil {
		return nil, err
	}
	for _, d := range devices {
		if d.SerialNumber == nil || !isBelow(*d.SerialNumber) {
			continue
		}
		out, err := e.iam.ListMFADeviceTags(ctx, &iam.ListMFADeviceTagsInput{SerialNumber: d.SerialNumber})
		if aws.IsNotFound(err) {
			continue
		}
		if err != nil {
			return strays, err
		}
		if tags := tagsOf(out.Tags); tags[v1alpha1.ClusterTag] == e.options.Cluster && tags[v1alpha1.EmergencyTag] != "" {
			name := (*d.SerialNumber)[strings.LastIndexByte(*d.SerialNumber, '/')+1:]
			strays = append(strays, Stray{Temporary: Temporary{Name: name, Emergency: tags[v1alpha1.EmergencyTag]}, Device: *d.SerialNumber})
		}
	}
	return strays, nil
}

// DeleteStray deletes it, unless it turns out to be another's.
func (e *Engine) DeleteStray(ctx context.Context, s Stray) error {
	if s.Device == "" {
		return e.Delete(ctx, s.Temporary)
	}
	if err := e.deleteDevice(aws.OnTemporaryUser(aws.ForRemoval(ctx)), s.Device); err != nil {
		return say(err)
	}
	return nil
}

// each does something to all of a list, and does not stop at what fails. What is gone already is no failure.
func each[T any](items []T, err error, do func(T) error) error {
	errs := []error{ignoreGone(err)}
	for _, item := range items {
		errs = append(errs, ignoreGone(do(item)))
	}
	return errors.Join(errs...)
}

// pages reads all pages of a list. A part that an answer lacks is found by AWS, which deletes no user that anything hangs on.
func pages[T any](read func(marker *string) (items []T, more bool, next *string, err error)) ([]T, error) {
	var all []T
	for marker := (*string)(nil); ; {
		items, more, next, err := read(marker)
		all = append(all, items...)
		if err != nil || !more || next == nil {
			return all, err
		}
		marker = next
	}
}

func ignoreGone(err error) error {
	if aws.IsNotFound(err) {
		return nil
	}
	return err
}
