// Package catalog knows the Bedrock models: what each one costs, how much it reads and writes, and how it caches. The facts
// are a dated file that is compiled in; a user's models and mappings are laid over it, and the result never changes again.
//
// Resolve turns whatever a caller puts into ModelId into a foundation model and its final price:
//
//   - a bare id, an alias, or a foundation-model ARN is billed in its region: the base price times the geo premium;
//   - an id under a geography ("us.", "eu.", "apac.", ...), or its inference-profile ARN, is billed the same way, at the
//     price of the region that the call is made from;
//   - an id under "global." is billed at the base price, but only for models that have a global profile;
//   - everything else hides its model: application inference profiles, provisioned, custom and imported models, prompts,
//     marketplace endpoints. Such an id has a price only when Map gave it one.
//
// What has no price is refused with ErrUnpriced. Where facts are in doubt, the dearer price is taken, so that a reservation
// stays an upper bound: of two overrides that apply, of two regions named by one call, of a region that the table of a
// model priced by region does not list, and of a cache class that nobody published.
package catalog
