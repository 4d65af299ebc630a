// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"crypto/hmac"
	"crypto/sha1" // RFC 6238 as AWS uses it
	"encoding/base32"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"time"
)

// totpStep is for how long a code is good (RFC 6238, section 5.2).
const totpStep = 30 * time.Second

// TOTP returns the six-digit code (RFC 6238) that a virtual MFA device with this base32 seed, as answered by
// CreateVirtualMFADevice, shows at that time. It fails if seed is not base32.
func TOTP(seed string, at time.Time) (string, error) {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(seed)
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha1.New, key)
	mac.Write(binary.BigEndian.AppendUint64(nil, uint64(at.Unix())/uint64(totpStep/time.Second)))
	sum := mac.Sum(nil)
	offset := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%06d", binary.BigEndian.Uint32(sum[offset:])&0x7fffffff%1_000_000), nil
}

// accepts reports whether the codes are two consecutive ones of the device, within a minute of now.
func (d device) accepts(code1, code2 string, now time.Time) bool {
	for steps := -2; steps <= 1; steps++ {
		at := now.Add(time.Duration(steps) * totpStep)
		first, err1 := TOTP(d.seed, at)
		second, err2 := TOTP(d.seed, at.Add(totpStep))
		if err1 == nil && err2 == nil && code1 == first && code2 == second {
			return true
		}
	}
	return false
}

// newSeed returns a seed of 40 bytes in base32, as long as those of AWS.
func (c *call) newSeed() string { return c.newID("", 64) }

// onePixel stands in for the picture of the QR code: a PNG of one pixel.
const onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="

func createVirtualMFADevice(c *call) any {
	name, path, tags := c.name("VirtualMFADeviceName", 226), c.path("Path", "/"), c.tags()
	serial := c.arn("mfa", path, name)
	if _, ok := c.state.devices[serial]; ok {
		c.exists("MFA device already exists.")
	}
	if c.err != nil {
		return nil
	}
	d := device{serial: serial, seed: c.newSeed(), path: path, tags: tags}
	c.state.devices[serial] = d
	type createdXML struct{ SerialNumber, Base32StringSeed, QRCodePNG string }
	return struct{ VirtualMFADevice createdXML }{
		createdXML{serial, base64.StdEncoding.EncodeToString([]byte(d.seed)), onePixel},
	}
}

// device returns the device that SerialNumber names.
func (c *call) device() device {
	serial := c.required("SerialNumber")
	d, ok := c.state.devices[serial]
	if !ok {
		c.noDevice(serial)
	}
	return d
}

func (c *call) noDevice(serial string) {
	c.notFound("MFA Device with serial number %s does not exist.", serial)
}

var codePattern = regexp.MustCompile(`^\d{6}$`)

func enableMFADevice(c *call, u *user) any {
	codes := []string{c.required("AuthenticationCode1"), c.required("AuthenticationCode2")}
	for i, code := range codes {
		if !codePattern.MatchString(code) {
			c.violates(fmt.Sprintf("authenticationCode%d", i+1), `satisfy regular expression pattern: [\d]+`)
		}
	}
	d := c.device()
	switch {
	case c.err != nil:
	case d.owner != "":
		c.exists("MFA Device is already in use.")
	case len(c.state.devicesOf(u)) >= devicesPerUser:
		c.exceeds("MFADevicesPerUser", devicesPerUser)
	case !d.accepts(codes[0], codes[1], c.now):
		c.fail(http.StatusForbidden, "InvalidAuthenticationCode", "Authentication code for device is not valid.")
	default:
		d.owner, d.enabled = u.id, c.now
		c.state.devices[d.serial] = d
	}
	return nil
}

func deactivateMFADevice(c *call, u *user) any {
	d := c.device()
	if d.owner != u.id {
		c.noDevice(d.serial)
	}
	switch {
	case c.err != nil:
	case d.virtual():
		d.owner, d.enabled = "", time.Time{}
		c.state.devices[d.serial] = d
	default:
		delete(c.state.devices, d.serial)
	}
	return nil
}

func deleteVirtualMFADevice(c *call) any {
	d := c.device()
	if d.owner != "" {
		c.deleteConflict("MFA VirtualDevice in use. Must deactivate first.")
	}
	if c.err == nil {
		delete(c.state.devices, d.serial)
	}
	return nil
}

type deviceXML struct {
	UserName     string `xml:",omitempty"`
	SerialNumber string
	EnableDate   string   `xml:",omitempty"`
	User         *userXML `xml:",omitempty"`
}

func deviceKey(d deviceXML) string { return d.SerialNumber }

func listMFADevices(c *call, u *user) any {
	var devices []deviceXML
	for _, d := range c.state.devicesOf(u) {
		devices = append(devices, deviceXML{UserName: u.name, SerialNumber: d.serial, EnableDate: stamp(d.enabled)})
	}
	return page(c, "MFADevices", devices, deviceKey)
}

func listVirtualMFADevices(c *call) any {
	status := c.params.Get("AssignmentStatus")
	if !slices.Contains([]string{"", "Any", "Assigned", "Unassigned"}, status) {
		return c.violates("assignmentStatus", "satisfy enum value set: [Unassigned, Any, Assigned]")
	}
	var devices []deviceXML
	for _, d := range c.state.devices {
		if !d.virtual() || (status == "Assigned" && d.owner == "") || (status == "Unassigned" && d.owner != "") {
			continue
		}
		x := deviceXML{SerialNumber: d.serial, EnableDate: stamp(d.enabled)}
		if u := c.state.users[d.owner]; u != nil {
			owner := c.brief(u)
			x.User = &owner
		}
		devices = append(devices, x)
	}
	return page(c, "VirtualMFADevices", devices, deviceKey)
}

func tagMFADevice(c *call) any {
	d := c.device()
	if d.tags = c.withTags(d.tags, "TagsPerMFADevice"); c.err == nil {
		c.state.devices[d.serial] = d
	}
	return nil
}

func untagMFADevice(c *call) any {
	d := c.device()
	if d.tags = c.withoutTags(d.tags); c.err == nil {
		c.state.devices[d.serial] = d
	}
	return nil
}

func listMFADeviceTags(c *call) any {
	d := c.device()
	if c.err != nil {
		return nil
	}
	return page(c, "Tags", slices.Clone(d.tags), tagKey)
}
