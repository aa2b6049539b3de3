package bedrocktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// profileRegions are the regions to which a profile sends requests (AWS's page of inference profiles, read 2026-11, in part).
var profileRegions = map[string][]string{
	"us": {"us-east-1", "us-east-2", "us-west-2"}, "eu": {"eu-central-1", "eu-north-1", "eu-west-1", "eu-west-3"}, "apac": {"ap-northeast-1", "ap-south-1", "ap-southeast-2"},
	"jp": {"ap-northeast-1", "ap-northeast-3"}, "au": {"ap-southeast-2", "ap-southeast-4"}, "ca": {"ca-central-1", "us-east-1"}, "in": {"ap-south-1", "ap-south-2"},
	"us-gov": {"us-gov-east-1", "us-gov-west-1"}, "global": {""},
}

// geographyOf is the geography of profiles that a region is listed; us where none has it.
func geographyOf(region string) string {
	for _, profile := range []string{"us-gov", "us", "eu", "apac"} {
		if slices.ContainsFunc(geographies[profile], func(prefix string) bool { return strings.HasPrefix(region, prefix) }) {
			return profile
		}
	}
	return "us"
}

// inferenceProfiles serves GetInferenceProfile and ListInferenceProfiles of the control plane, and reports false where a path is neither.
func (s *Server) inferenceProfiles(w http.ResponseWriter, r *http.Request, path []string) (refused *refusal, served bool) {
	if path[0] != "inference-profiles" || r.Method != http.MethodGet {
		return nil, false
	}
	if len(path) > 1 {
		id, _ := url.PathUnescape(strings.Join(path[1:], "/"))
		return s.getProfile(w, id), true
	}
	kind := r.URL.Query().Get("typeEquals")
	if kind == "" {
		kind = r.URL.Query().Get("type")
	}
	return s.listProfiles(w, kind), true
}

func (s *Server) getProfile(w http.ResponseWriter, id string) *refusal {
	m, profile, _, ok := s.lookup(url.PathEscape(id))
	_, named := s.opts.Names[id]
	if !ok || profile == "" && !named {
		return &refusal{404, "ResourceNotFoundException", "The provided inference profile was not found."}
	}
	return answer(w, s.profile(id, m, profile, named))
}

func (s *Server) profile(id string, m *model, profile string, application bool) map[string]any {
	const created = "2026-01-01T00:00:00Z"
	arn, kind := id, "APPLICATION"
	if !application {
		kind = "SYSTEM_DEFINED"
		id = id[strings.LastIndexByte(id, '/')+1:]
		arn = "arn:aws:bedrock:" + s.opts.Region + ":123456789012:inference-profile/" + id
	}
	models := []any{}
	regions := profileRegions[profile]
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

// listProfiles lists the profiles of the region's geography, those of the whole world, and the test's own.
func (s *Server) listProfiles(w http.ResponseWriter, kind string) *refusal {
	all := []map[string]any{}
	if kind != "APPLICATION" {
		geography := geographyOf(s.opts.Region)
		for id, m := range table().byID {
			if m.ID != id || !m.throughProfiles() && !m.Global {
				continue
			}
			all = append(all, s.profile(geography+"."+id, m, geography, false))
			if m.Global {
				all = append(all, s.profile("global."+id, m, "global", false))
			}
		}
	}
	if kind != "SYSTEM_DEFINED" {
		for name := range s.opts.Names {
			if m, profile, _, ok := s.lookup(url.PathEscape(name)); ok && strings.Contains(name, "application-inference-profile/") {
				all = append(all, s.profile(name, m, profile, true))
			}
		}
	}
	slices.SortFunc(all, func(a, b map[string]any) int {
		return strings.Compare(a["inferenceProfileArn"].(string), b["inferenceProfileArn"].(string))
	})
	return answer(w, map[string]any{"inferenceProfileSummaries": all})
}
