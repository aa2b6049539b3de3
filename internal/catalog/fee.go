package catalog

import (
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Fees are prices in nano-USD for what is not counted in tokens. Zero is not billed.
type Fees struct {
	Query             price.Amount // a rerank query: one search unit, see RerankLimits
	Request           price.Amount // a call, whatever it contains
	Image             price.Amount // an input image
	DocumentImage     price.Amount // an input image that is read as the page of a document
	VideoSecond       price.Amount // a second of input video
	AudioSecond       price.Amount // a second of input audio
	OutputImage       price.Amount // a generated image, of the most expensive size and quality
	OutputVideoSecond price.Amount // a second of generated video
	WebSearch         price.Amount // a web search that the service makes during a call
	FileSearch        price.Amount // a file search that the service makes during a call
	Grounding         price.Amount // a request of the system tool nova_grounding
}

// MediaRates are prices in pico-USD per token for tokens that are not text. Zero is billed like text.
type MediaRates struct {
	ImageInput  price.PicoUSD
	ImageOutput price.PicoUSD
	AudioInput  price.PicoUSD // speech included
	AudioOutput price.PicoUSD // speech included
}

// feeList has the fields of Fees in their order, so that a loop can handle them.
type feeList [11]price.Amount

// firstServiceFee is the index, in a feeList, of WebSearch, with which the fees for something that the service does besides running the model begin:
// the geo premium does not apply to these.
const firstServiceFee = 8

// list returns the fields of f in their order; feeList.fees is the way back.
func (f Fees) list() feeList {
	return feeList{
		f.Query, f.Request, f.Image, f.DocumentImage, f.VideoSecond, f.AudioSecond, f.OutputImage, f.OutputVideoSecond,
		f.WebSearch, f.FileSearch, f.Grounding,
	}
}

// fees is the way back from Fees.list.
func (l feeList) fees() Fees {
	return Fees{
		Query: l[0], Request: l[1], Image: l[2], DocumentImage: l[3], VideoSecond: l[4], AudioSecond: l[5], OutputImage: l[6],
		OutputVideoSecond: l[7], WebSearch: l[8], FileSearch: l[9], Grounding: l[10],
	}
}

// higher returns the higher of each of two fees.
func (l feeList) higher(k feeList) feeList {
	for i := range l {
		l[i] = max(l[i], k[i])
	}
	return l
}

// by multiplies every fee by a factor in thousandths, rounding up.
func (l feeList) by(thousandths int64) feeList {
	for i := range l {
		l[i] = price.Amount(scale(price.PicoUSD(l[i]), thousandths, 1000))
	}
	return l
}

// list returns the fields of MediaRates in their order.
func (r MediaRates) list() [4]price.PicoUSD {
	return [...]price.PicoUSD{r.ImageInput, r.ImageOutput, r.AudioInput, r.AudioOutput}
}

// by multiplies every rate by a factor in thousandths, rounding up.
func (r MediaRates) by(thousandths int64) MediaRates {
	return MediaRates{
		ImageInput: scale(r.ImageInput, thousandths, 1000), ImageOutput: scale(r.ImageOutput, thousandths, 1000),
		AudioInput: scale(r.AudioInput, thousandths, 1000), AudioOutput: scale(r.AudioOutput, thousandths, 1000),
	}
}

// higher returns the higher of each of two rates.
func (r MediaRates) higher(s MediaRates) MediaRates {
	return MediaRates{
		ImageInput: max(r.ImageInput, s.ImageInput), ImageOutput: max(r.ImageOutput, s.ImageOutput),
		AudioInput: max(r.AudioInput, s.AudioInput), AudioOutput: max(r.AudioOutput, s.AudioOutput),
	}
}

// feesAt returns the final fees of a model in a region whose rates have the given factor, in thousandths. A fee that FeeOverrides only has for other
// regions is the highest of those, or the base fee times the factor if that is more. Fees for services have a factor of their own, 1000 in a
// commercial region and more anywhere else, and do not follow the entries of other regions.
func (m *Model) feesAt(region string, factor int64) Fees {
	base := m.Fees.list()
	final := base.by(factor)
	if !homeRegion(region) { // in a home region, a US one, the base price applies whatever other regions cost
		for _, fees := range m.FeeOverrides {
			final = final.higher(fees.list())
		}
	}
	service := base.by(serviceFactor(region))
	copy(final[firstServiceFee:], service[firstServiceFee:])
	for i, fee := range m.FeeOverrides[region].list() {
		if fee > 0 { // the region has an entry for it
			final[i] = fee
		}
	}
	return final.fees()
}
