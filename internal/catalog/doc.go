// Package catalog knows the Bedrock models: prices, limits, and rules of caching. The facts
// are a dated file that is compiled in; a user's models, mappings and discounts are added to it. The resulting catalog is
// immutable.
//
// Resolve turns whatever a caller puts into ModelId into a foundation model and its final price. Everything that is not
// global is billed by the region from which the call is made, whether the id is a model id, an alias, a profile of a geography
// ("us.", "eu.", "apac.", ...) or an ARN. In this order:
//
//   - A global profile costs what its table says for the region that it is called from, and the base price where it has
//     no table. A model without a global profile is billed like a regional call.
//   - A region costs what its entry says. A cache class that the entry does not state is in proportion to the input rate,
//     and at least the input rate.
//   - GovCloud costs the base price times the model's own factor. Any other partition costs at least that, and at least the
//     regional price times the highest known factor.
//   - us-east-1, us-east-2 and us-west-2 cost the base price times the geo premium.
//   - Any other region costs that, times the highest known factor, and at least the highest entry of the model's own
//     table; or nothing more, for a model that is known to have one price in every region.
//   - An unknown region costs the highest price of all regions, including GovCloud.
//
// If a factor or another region's entry replaces a price that is not published, Resolved.Assumed is set. All other kinds of ids
// do not show their model: application inference profiles, provisioned, custom and imported models, prompts, marketplace
// endpoints. Such an id only has a price if Map gave it one.
//
// A model without a price is refused with ErrUnpriced, and so is one that is not billed by text tokens or queries, which
// Lookup returns. If facts are in doubt, the higher price is used, so that a reservation stays an upper bound.
//
// models.json is not generated. Change it by hand, with its date and sources, then run `make prices`, which checks it and sorts
// it, and `make check-prices`, which compares it with two public tables.
package catalog
