package catalog

import "strings"

// profileGlobal is the prefix of profiles that may run anywhere, and are billed without the geo premium.
const profileGlobal = "global"

// govFactor is the least factor, in thousandths, on the base price outside the commercial partition. Source: Claude and
// Nova prices in GovCloud, read 2026-09-29. A model's own override replaces it.
const govFactor = 1200

// geography is a group of source regions that share an inference-profile prefix.
type geography struct {
	prefix  string   // as in "eu.amazon.nova-pro-v1:0", without the dot
	regions []string // what the names of its regions start with
}

// geographies returns the prefixes of system-defined inference profiles, as of 2026-11-23.
func geographies() [9]geography {
	return [...]geography{
		{"us", []string{"us-east-", "us-west-"}},
		{"eu", []string{"eu-"}},
		{"apac", []string{"ap-"}},
		{"jp", []string{"ap-northeast-1", "ap-northeast-3"}},
		{"au", []string{"ap-southeast-2", "ap-southeast-4"}},
		{"in", []string{"ap-south-"}},
		{"ca", []string{"ca-"}},
		{"us-gov", []string{"us-gov-"}},
		{profileGlobal, nil},
	}
}

func (g geography) contains(region string) bool {
	for _, start := range g.regions {
		if strings.HasPrefix(region, start) {
			return true
		}
	}
	return false
}

func knownGeography(prefix string) (geography, bool) {
	for _, g := range geographies() {
		if g.prefix == prefix {
			return g, true
		}
	}
	return geography{}, false
}

// cutGeography splits "us.amazon.nova-pro-v1:0" at its first dot, known geography or not.
func cutGeography(id string) (prefix, rest string, known bool) {
	prefix, rest, found := strings.Cut(id, ".")
	if !found {
		return "", id, false
	}
	_, known = knownGeography(prefix)
	return prefix, rest, known
}

// commercialUS reports a region whose prices are the ones that the base table lists.
func commercialUS(region string) bool {
	return strings.HasPrefix(region, "us-east-") || strings.HasPrefix(region, "us-west-")
}

// isolated reports a region outside the commercial partition: GovCloud, China, the sovereign and the secret clouds.
func isolated(region string) bool {
	for _, start := range [...]string{"us-gov-", "us-iso", "eu-iso", "eusc-", "cn-"} {
		if strings.HasPrefix(region, start) {
			return true
		}
	}
	return false
}

// regionName reports whether s has the shape of a region's name, such as "ap-southeast-2".
func regionName(s string) bool {
	if len(s) < 6 || len(s) > 32 || strings.Count(s, "-") < 2 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c != '-' && (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
