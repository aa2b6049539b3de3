// Package catalog knows the Bedrock models: what each one costs, how much it reads and writes, and how it caches. The facts
// are a dated file that is compiled in; a user's models, mappings and discounts are laid over it, and the result never
// changes again.
//
// Resolve turns whatever a caller puts into ModelId into a foundation model and its final price. Everything that is not
// global is billed by the region that the call is made from, whether the id is bare, an alias, under a geography ("us.",
// "eu.", "apac.", ...) or an ARN. In this order:
//
//   - A global profile costs what its table says for the region that it is called from, and the base price where it has
//     no table. A model without a global profile is billed like a regional call.
//   - A region costs what its entry says. A cache class that the entry does not state is in proportion to the input rate,
//     and at least the input rate.
//   - GovCloud costs the model's own factor on the base price. Any other partition costs at least that, and at least the
//     dearest factor known on the regional price.
//   - us-east-1, us-east-2 and us-west-2 cost the base price times the geo premium.
//   - Any other region costs that, times the dearest factor known, and at least the dearest entry of the model's own
//     table; or nothing more, for a model that is known to have one price in every region.
//   - An unknown region costs the dearest of all regions, GovCloud's included.
//
// Where a factor or another region's entry stands in for a price that nobody published, Resolved.Assumed tells. Everything
// else hides its model: application inference profiles, provisioned, custom and imported models, prompts, marketplace
// endpoints. Such an id has a price only when Map gave it one.
//
// What has no price is refused with ErrUnpriced, and so is a model that is not billed by text tokens or queries, which
// Lookup returns. Where facts are in doubt, the dearer price is taken, so that a reservation stays an upper bound.
//
// models.json is itself the input, and not generated: a file of facts beside it would hold the same figures under the same
// names. Change it by hand, with its date and sources, then run `make prices`, which checks it and puts it in its one
// order, and `make check-prices`, which compares it with two public tables.
package catalog
