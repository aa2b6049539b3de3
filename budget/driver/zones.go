package driver

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// zoneAliases lists other spellings of time zones, after the canonical name of the IANA time zone database (its release 2025b, the links of
// the files backward and etcetera). Two spellings of one zone are one window.
const zoneAliases = `
Africa/Abidjan: Africa/Timbuktu Iceland
Africa/Cairo: Egypt
Africa/Nairobi: Africa/Asmera
Africa/Tripoli: Libya
America/Adak: America/Atka US/Aleutian
America/Anchorage: US/Alaska
America/Argentina/Buenos_Aires: America/Buenos_Aires
America/Argentina/Catamarca: America/Argentina/ComodRivadavia America/Catamarca
America/Argentina/Cordoba: America/Cordoba America/Rosario
America/Argentina/Jujuy: America/Jujuy
America/Argentina/Mendoza: America/Mendoza
America/Chicago: US/Central
America/Denver: America/Shiprock Navajo US/Mountain
America/Detroit: US/Michigan
America/Edmonton: America/Yellowknife Canada/Mountain
America/Halifax: Canada/Atlantic
America/Havana: Cuba
America/Indiana/Indianapolis: America/Fort_Wayne America/Indianapolis US/East-Indiana
America/Indiana/Knox: America/Knox_IN US/Indiana-Starke
America/Iqaluit: America/Pangnirtung
America/Jamaica: Jamaica
America/Kentucky/Louisville: America/Louisville
America/Los_Angeles: US/Pacific
America/Manaus: Brazil/West
America/Mazatlan: Mexico/BajaSur
America/Mexico_City: Mexico/General
America/New_York: US/Eastern
America/Noronha: Brazil/DeNoronha
America/Nuuk: America/Godthab
America/Panama: America/Coral_Harbour
America/Phoenix: US/Arizona
America/Puerto_Rico: America/Kralendijk America/Lower_Princes America/Marigot America/St_Barthelemy America/Virgin
America/Regina: Canada/Saskatchewan
America/Rio_Branco: America/Porto_Acre Brazil/Acre
America/Santiago: Chile/Continental
America/Sao_Paulo: Brazil/East
America/St_Johns: Canada/Newfoundland
America/Tijuana: America/Ensenada America/Santa_Isabel Mexico/BajaNorte
America/Toronto: America/Montreal America/Nipigon America/Thunder_Bay Canada/Eastern
America/Vancouver: Canada/Pacific
America/Whitehorse: Canada/Yukon
America/Winnipeg: America/Rainy_River Canada/Central
Asia/Ashgabat: Asia/Ashkhabad
Asia/Dhaka: Asia/Dacca
Asia/Ho_Chi_Minh: Asia/Saigon
Asia/Hong_Kong: Hongkong
Asia/Jerusalem: Asia/Tel_Aviv Israel
Asia/Kathmandu: Asia/Katmandu
Asia/Kolkata: Asia/Calcutta
Asia/Macau: Asia/Macao
Asia/Makassar: Asia/Ujung_Pandang
Asia/Nicosia: Europe/Nicosia
Asia/Seoul: ROK
Asia/Shanghai: Asia/Chongqing Asia/Chungking Asia/Harbin PRC
Asia/Singapore: Singapore
Asia/Taipei: ROC
Asia/Tehran: Iran
Asia/Thimphu: Asia/Thimbu
Asia/Tokyo: Japan
Asia/Ulaanbaatar: Asia/Choibalsan Asia/Ulan_Bator
Asia/Urumqi: Asia/Kashgar
Asia/Yangon: Asia/Rangoon
Atlantic/Faroe: Atlantic/Faeroe
Australia/Adelaide: Australia/South
Australia/Brisbane: Australia/Queensland
Australia/Broken_Hill: Australia/Yancowinna
Australia/Darwin: Australia/North
Australia/Hobart: Australia/Currie Australia/Tasmania
Australia/Lord_Howe: Australia/LHI
Australia/Melbourne: Australia/Victoria
Australia/Perth: Australia/West
Australia/Sydney: Australia/ACT Australia/Canberra Australia/NSW
Europe/Belgrade: Europe/Podgorica
Europe/Berlin: Arctic/Longyearbyen Atlantic/Jan_Mayen
Europe/Chisinau: Europe/Tiraspol
Europe/Dublin: Eire
Europe/Helsinki: Europe/Mariehamn
Europe/Istanbul: Asia/Istanbul Turkey
Europe/Kyiv: Europe/Kiev Europe/Uzhgorod Europe/Zaporozhye
Europe/Lisbon: Portugal
Europe/London: Europe/Belfast GB GB-Eire
Europe/Moscow: W-SU
Europe/Prague: Europe/Bratislava
Europe/Rome: Europe/San_Marino Europe/Vatican
Europe/Warsaw: Poland
Europe/Zurich: Europe/Busingen
Pacific/Auckland: Antarctica/South_Pole NZ
Pacific/Chatham: NZ-CHAT
Pacific/Easter: Chile/EasterIsland
Pacific/Guadalcanal: Pacific/Ponape
Pacific/Honolulu: Pacific/Johnston US/Hawaii
Pacific/Kanton: Pacific/Enderbury
Pacific/Kwajalein: Kwajalein
Pacific/Pago_Pago: Pacific/Samoa US/Samoa
Pacific/Port_Moresby: Pacific/Truk Pacific/Yap
UTC: Etc/GMT Etc/GMT+0 Etc/GMT-0 Etc/GMT0 Etc/Greenwich Etc/UCT Etc/UTC Etc/Universal Etc/Zulu GMT GMT+0 GMT-0 GMT0 Greenwich UCT Universal Zulu
`

// canonicalZones maps each other spelling of a zone to the canonical one.
var canonicalZones = sync.OnceValue(func() map[string]string {
	canonical := make(map[string]string)
	for row := range strings.Lines(strings.TrimSpace(zoneAliases)) {
		// Each row has a canonical name, a colon and the other spellings.
		name, aliases, _ := strings.Cut(row, ":")
		for _, alias := range strings.Fields(aliases) {
			canonical[alias] = name
		}
	}
	return canonical
})

// canonicalZone returns the canonical name of a zone; "" for UTC.
func canonicalZone(name string) string {
	if usual, other := canonicalZones()[name]; other {
		name = usual
	}
	if name == time.UTC.String() {
		return ""
	}
	return name
}

// checkZone reports a location that is not a named zone: Local, which differs from host to host, and fixed offsets, which have no daylight
// saving time and no meaningful name.
func checkZone(loc *time.Location) error {
	if loc == nil || loc == time.UTC {
		return nil
	}
	name := loc.String()
	if loc == time.Local || name == "Local" {
		return fmt.Errorf("%w: a window in time.Local differs from host to host, so that processes would count in different days: name the zone, as in time.LoadLocation(\"Europe/Berlin\")", ErrInvalidPolicy)
	}
	named, err := time.LoadLocation(name)
	if err != nil {
		return fmt.Errorf("%w: a window in %q, which is no time zone known to this host: use time.LoadLocation with a name of the IANA database, and import time/tzdata where the host has none", ErrInvalidPolicy, name)
	}
	// A location of that name may still be a fixed offset that somebody has called so. It is the zone if their offsets agree in winter and summer.
	for year := 2000; year <= 2037; year++ {
		for _, month := range [...]time.Month{time.January, time.July} {
			at := time.Date(year, month, 15, 12, 0, 0, 0, time.UTC)
			_, want := at.In(named).Zone()
			if _, offset := at.In(loc).Zone(); offset != want {
				return fmt.Errorf("%w: a window in a fixed offset that is called %q, which is not what the zone of that name has: use time.LoadLocation(%q), or a zone such as Etc/GMT-1 for a fixed one", ErrInvalidPolicy, name, name)
			}
		}
	}
	return nil
}
