package bedrocktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/rules"
)

// Functions that serve a request return the refusal that their caller has to write, or nil if they have written the answer. answer writes a body with
// status 200, and returns nil.

// profileRegions holds the regions to which the profiles of a geography send requests (AWS's page of inference profiles, read 2026-11, in
// part). A model's ARN for the global profile names no region.
var profileRegions = map[string][]string{
	"us": {"us-east-1", "us-east-2", "us-west-2"}, "eu": {"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"}, "apac": {"ap-northeast-1", "ap-south-1", "ap-southeast-2"},
	"jp": {"ap-northeast-1", "ap-northeast-3"}, "au": {"ap-southeast-2", "ap-southeast-4"}, "ca": {"ca-central-1", "us-east-1"}, "in": {"ap-south-1", "ap-south-2"},
	"us-gov": {"us-gov-east-1", "us-gov-west-1"}, "global": {""},
}

// The types of inference profiles.
const (
	systemProfile      = "SYSTEM_DEFINED"
	applicationProfile = "APPLICATION"
)

// geographyOf returns the geography whose profiles a region lists, or us if the region is in none.
func geographyOf(region string) string {
	// us-gov comes before us, because its regions begin with us-, too. The other geographies are parts of these four.
	for _, geography := range []string{"us-gov", "us", "eu", "apac"} {
		if slices.ContainsFunc(rules.Geographies[geography], func(prefix string) bool { return strings.HasPrefix(region, prefix) }) {
			return geography
		}
	}
	return "us"
}

// inferenceProfiles serves GetInferenceProfile and ListInferenceProfiles of the control plane, and returns false for any other path.
func (s *Server) inferenceProfiles(w http.ResponseWriter, r *http.Request, path []string) (refused *refusal.Error, served bool) {
	if path[0] != "inference-profiles" || r.Method != http.MethodGet {
		return nil, false
	}
	if len(path) > 1 {
		id, _ := url.PathUnescape(strings.Join(path[1:], "/"))
		return s.getProfile(w, id), true
	}
	kind := r.URL.Query().Get("typeEquals") // the name of the field in the SDKs
	if kind == "" {
		kind = r.URL.Query().Get("type") // the name of the parameter in the query that they send
	}
	return s.listProfiles(w, kind), true
}

// getProfile serves GetInferenceProfile. A name in Options.Names is an application's profile; any other id must be that of a geography or of
// global.
func (s *Server) getProfile(w http.ResponseWriter, id string) *refusal.Error {
	// lookup takes ids as they are in a path, and decodes them.
	m, geography, _, ok := s.lookup(url.PathEscape(id))
	kind := systemProfile
	if _, named := s.opts.Names[id]; named {
		kind = applicationProfile
	}
	if !ok || geography == "" && kind == systemProfile {
		return refusal.New(404, "ResourceNotFoundException", "The provided inference profile was not found.")
	}
	return answer(w, s.profileSummary(id, m, geography, kind))
}

// profileSummary describes an inference profile, in the form of GetInferenceProfile and ListInferenceProfiles. A profile without a geography,
// such as an application's, sends requests to the server's own region.
func (s *Server) profileSummary(id string, m *modeltable.Model, geography, kind string) map[string]any {
	const created = "2026-01-01T00:00:00Z"
	arn := id
	if kind == systemProfile {
		// The id may be a whole ARN, which ends with the profile's own id after a slash.
		id = id[strings.LastIndexByte(id, '/')+1:]
		arn = "arn:aws:bedrock:" + s.opts.Region + ":123456789012:inference-profile/" + id
	}
	models := []any{}
	regions := profileRegions[geography]
	if regions == nil {
		regions = []string{s.opts.Region}
	}
	for _, region := range regions {
		models = append(models, map[string]any{"modelArn": "arn:aws:bedrock:" + region + "::foundation-model/" + m.ID})
	}
	return map[string]any{
		"inferenceProfileName": id[strings.LastIndexByte(id, '/')+1:], "inferenceProfileArn": arn, "inferenceProfileId": id[strings.LastIndexByte(id, '/')+1:],
		"status": "ACTIVE", "type": kind, "models": models, "createdAt": created, "updatedAt": created, "description": "Routes requests to " + m.ID + ".",
	}
}

// listProfiles lists the profiles of the region's geography, the global ones, and those that Options.Names gives. kind selects one type; empty
// selects both.
func (s *Server) listProfiles(w http.ResponseWriter, kind string) *refusal.Error {
	all := []map[string]any{}
	if kind != applicationProfile {
		geography := geographyOf(s.opts.Region)
		for id, m := range modeltable.Table().ByID {
			if m.ID != id || !m.ThroughProfiles() && !m.Global { // id is an alias, or the model has no profiles
				continue
			}
			all = append(all, s.profileSummary(geography+"."+id, m, geography, systemProfile))
			if m.Global {
				all = append(all, s.profileSummary("global."+id, m, "global", systemProfile))
			}
		}
	}
	if kind != systemProfile {
		// Options.Names may also have names that are no profiles.
		for name := range s.opts.Names {
			if m, geography, _, ok := s.lookup(url.PathEscape(name)); ok && strings.Contains(name, "application-inference-profile/") {
				all = append(all, s.profileSummary(name, m, geography, applicationProfile))
			}
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int {
		return strings.Compare(a["inferenceProfileArn"].(string), b["inferenceProfileArn"].(string))
	})
	return answer(w, map[string]any{"inferenceProfileSummaries": all})
}
