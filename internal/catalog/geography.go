package catalog

import "strings"

// Prefixes of profiles that have price rules of their own.
const (
	profileGlobal = "global" // may run anywhere, without the geo premium
	profileGov    = "us-gov" // runs in GovCloud
)

// Factors, in thousandths, for models that have none.
const (
	// govFactor is for GovCloud. Source: the published prices of Claude, Nova, gpt-oss, Gemma 4 and Nemotron there, read 2026-11-28.
	govFactor = 1200
	// unlistedFactor is for regions without a known price. Source: the highest regional price of a chat model compared with us-east-1,
	// Mistral 7B in sa-east-1, read 2026-11-28.
	unlistedFactor = 1700
)

// unlistedRegion stands for a commercial region that no table lists.
const unlistedRegion = "xx-unlisted-1"

// geography is a group of source regions with a common prefix of inference profiles.
type geography struct {
	prefix  string   // as in "eu.amazon.nova-pro-v1:0", without the dot
	regions []string // what the names of its regions start with
}

// geographies returns the prefixes of system-defined inference profiles, as of 2026-11-28. A region may belong to several, as Tokyo does to apac and
// jp.
func geographies() [9]geography {
	return [...]geography{
		{"us", []string{"us-east-", "us-west-"}},
		{"eu", []string{"eu-"}},
		{"apac", []string{"ap-"}},
		{"jp", []string{"ap-northeast-1", "ap-northeast-3"}},
		{"au", []string{"ap-southeast-2", "ap-southeast-4"}},
		{"in", []string{"ap-south-"}},
		{"ca", []string{"ca-"}},
		{profileGov, []string{"us-gov-"}},
		{profileGlobal, nil},
	}
}

// contains reports whether a region belongs to the geography. None belongs to the global one.
func (g geography) contains(region string) bool {
	for _, start := range g.regions {
		if strings.HasPrefix(region, start) {
			return true
		}
	}
	return false
}

// IsProfile reports whether a model id is that of an inference profile: it has a profile's prefix, or is the ARN of one, also of an application
// inference profile.
func IsProfile(modelID string) bool {
	if strings.HasPrefix(modelID, "arn:") {
		return strings.Contains(modelID, "inference-profile/")
	}
	prefix, _, found := strings.Cut(modelID, ".")
	_, known := knownGeography(prefix)
	return found && known
}

// knownGeography returns the geography of a profile's prefix, and false if there is none.
func knownGeography(prefix string) (geography, bool) {
	for _, g := range geographies() {
		if g.prefix == prefix {
			return g, true
		}
	}
	return geography{}, false
}

// cutGeography splits "us.amazon.nova-pro-v1:0" at its first dot, even if the geography is unknown.
func cutGeography(id string) (prefix, rest string, known bool) {
	prefix, rest, found := strings.Cut(id, ".")
	if !found {
		return "", id, false
	}
	_, known = knownGeography(prefix)
	return prefix, rest, known
}

// homeRegion reports whether a region's prices are the base price times the geo premium. us-west-1 is not one of them: it has prices of its
// own.
func homeRegion(region string) bool {
	return region == "us-east-1" || region == "us-east-2" || region == "us-west-2"
}

// partition is a group of regions with common accounts and price lists.
type partition uint8

const (
	partitionCommercial partition = iota
	partitionGov                  // GovCloud
	partitionOther                // China, the sovereign and the secret clouds, without any known price
)

// partitionOf returns the partition of a region, by the beginning of its name. Any name that shows no other partition is in the commercial one.
func partitionOf(region string) partition {
	if strings.HasPrefix(region, "us-gov-") {
		return partitionGov
	}
	for _, start := range [...]string{"us-iso", "eu-iso", "eusc-", "cn-"} {
		if strings.HasPrefix(region, start) {
			return partitionOther
		}
	}
	return partitionCommercial
}

// isolated reports whether a region is outside of the commercial partition.
func isolated(region string) bool { return partitionOf(region) != partitionCommercial }

// serviceFactor is the factor, in thousandths, on fees for what the service does besides running the model, such as a web search: the
// published ratio of GovCloud if the region is or may be there, and the factor for unknown prices in other partitions. Source: web search on
// the OpenAI-compatible endpoint, 14.40 against 12 USD per 1,000, read 2026-11-28.
func serviceFactor(region string) int64 {
	switch {
	case partitionOf(region) == partitionOther:
		return unlistedFactor
	case region == "" || isolated(region):
		return govFactor
	}
	return 1000
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
