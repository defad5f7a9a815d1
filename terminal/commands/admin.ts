/**
 * `tally policy` and `tally admin`: what applies to this account, and the switches of the platform.
 * Promise: every switch asks for a reason, which the receipt keeps and whoever is refused is told.
 */
import {
  OwnFundsSchema,
  PolicyViewSchema,
  ProviderSwitchSchema,
  RescanSchema,
  StandingSchema,
  Tier,
} from '@tallystick/proto';
import { plain, type Services } from '@tallystick/sdk';
import { Argument, type Command } from 'commander';
import { policyText } from '../output/policy.ts';
import { parseAmount } from '../text/amount.ts';
import { UsageError } from '../text/usage-error.ts';
import { addCommand, onRun, type Run, type Spec, told, type World, withKey } from './command.ts';

const TIERS: Record<string, Tier> = { new: Tier.NEW, standard: Tier.STANDARD, trusted: Tier.TRUSTED };
const PRINCIPAL = /^eip155:[1-9][0-9]{0,15}:0x[0-9a-fA-F]{40}$/;
const WHOM = new Argument('<principal>', 'eip155:<chain>:<address>, as `tally whoami` tells it');

export function addPolicyCommands(program: Command, world: World): void {
  const policy = addCommand(program, {
    usage: 'policy',
    summary: 'what applies to this account: tier, caps, what is used and left, how to get more',
    examples: ['tally policy', 'tally policy --json'],
  });
  onRun(world, policy, async ({ connect, out }) => {
    const told = plain(PolicyViewSchema, await (await connect()).services.policy.getPolicy({}));
    await out.say(told, policyText(told, out.colours));
  });
  const admin = program
    .command('admin')
    .summary('switches of the platform (needs a login with --scope platform:admin, see TALLY_ADMINS)');
  addStanding(admin, world);
  addTier(admin, world);
  addSwitch(admin, world, 'suspend', 'a principal opens and extends nothing, and what it runs stops');
  addSwitch(admin, world, 'reinstate', 'take a suspension back');
  addProviderSwitch(admin, world, 'drain', 'open nothing new at a provider');
  addProviderSwitch(admin, world, 'resume', 'open a drained or killed provider again');
  addProviderSwitch(admin, world, 'kill', 'open nothing new at a provider, and stop what runs there');
  addExplanation(admin, world, {
    name: 'contribute',
    summary: 'say that dollars on the chain beyond the ledger are the platform’s own',
    because: 'float for payouts, see ticket 7',
  });
  addExplanation(admin, world, {
    name: 'write-off',
    summary: 'say that dollars missing on the chain were the platform’s own',
    because: 'taken with the old key, see ticket 9',
  });
  addRescan(admin, world);
}

function addStanding(admin: Command, world: World): void {
  const standing = addCommand(admin, {
    usage: 'standing',
    summary: 'how the platform stands to a principal',
    examples: ['tally admin standing eip155:1:0x…'],
  }).addArgument(WHOM);
  onRun(world, standing, async ({ connect, out }, [principal]) => {
    const { admin: service } = (await connect()).services;
    await out.record(plain(StandingSchema, await service.getStanding({ principal: principalOf(principal!) })));
  });
}

/** As everybody spells it. */
function principalOf(text: string): string {
  if (PRINCIPAL.test(text)) return text.toLowerCase();
  throw new UsageError(`${text} is no principal.`, 'Write eip155:<chain>:<address>, as `tally whoami` tells it.');
}

interface Because {
  reason: string;
  key?: string;
}

/** A command that asks why and can be repeated under its key. */
const asked = (admin: Command, spec: Spec): Command =>
  withKey(addCommand(admin, spec)).requiredOption('--reason <text>', 'why; it stands in the receipt and in refusals');

const underKey = ({ key }: Because) => (key === undefined ? {} : { idempotencyKey: key });

const serviceOf = async ({ connect }: Run): Promise<Services['admin']> => (await connect()).services.admin;

function addTier(admin: Command, world: World): void {
  const command = asked(admin, {
    usage: 'tier',
    summary: 'give a principal another tier of trust',
    examples: ["tally admin tier eip155:1:0x… trusted --reason 'known since March'"],
  })
    .addArgument(WHOM)
    .addArgument(new Argument('<tier>', 'tier of trust').choices(Object.keys(TIERS)));
  onRun<Because>(world, command, async (run, [whom, tier], options) => {
    const request = { principal: principalOf(whom!), tier: TIERS[tier!]!, reason: options.reason };
    const service = await serviceOf(run);
    await run.out.record(plain(StandingSchema, await service.setTier(request, underKey(options))));
  });
}

function addSwitch(admin: Command, world: World, name: 'suspend' | 'reinstate', summary: string): void {
  const command = asked(admin, {
    usage: name,
    summary,
    examples: [`tally admin ${name} eip155:1:0x… --reason 'see ticket 12'`],
  }).addArgument(WHOM);
  onRun<Because>(world, command, async (run, [whom], options) => {
    const request = { principal: principalOf(whom!), reason: options.reason };
    const service = await serviceOf(run);
    await run.out.record(plain(StandingSchema, await service[name](request, underKey(options))));
  });
}

function addProviderSwitch(admin: Command, world: World, name: 'drain' | 'resume' | 'kill', summary: string): void {
  const command = asked(admin, {
    usage: name,
    summary,
    examples: [`tally admin ${name} local --reason 'maintenance'`],
  }).addArgument(new Argument('<provider>', 'name of the provider'));
  const method = `${name}Provider` as const;
  onRun<Because>(world, command, async (run, [provider], options) => {
    const request = { provider: provider!, reason: options.reason };
    const service = await serviceOf(run);
    await run.out.record(plain(ProviderSwitchSchema, await service[method](request, underKey(options))));
  });
}

/** Of what `tally reserves` finds unexplained. */
function addExplanation(
  admin: Command,
  world: World,
  { name, summary, because }: { name: 'contribute' | 'write-off'; summary: string; because: string },
): void {
  const command = asked(admin, {
    usage: name,
    summary,
    examples: [`tally admin ${name} '$250' --reason '${because}'`],
  }).addArgument(new Argument('<amount>', '$1.25, 1.25usd or 1250000micros'));
  const method = name === 'contribute' ? 'contributeFunds' : 'writeOffFunds';
  onRun<Because>(world, command, async ({ connect, out }, [amount], options) => {
    const { funds } = (await connect()).services;
    const request = { amountMicros: parseAmount(amount!), reason: options.reason };
    await out.record(plain(OwnFundsSchema, await funds[method](request, underKey(options))));
  });
}

function addRescan(admin: Command, world: World): void {
  const command = asked(admin, {
    usage: 'rescan',
    summary:
      'look through the chain for deposits again, from a block on: after it was rewritten, or for money nobody saw',
    examples: ["tally admin rescan --from-block 18200431 --reason 'the chain was rewritten from there'"],
  }).requiredOption(
    '--from-block <number>',
    'first block to look through again; the one before it must stand',
    told(blockNumber),
  );
  onRun<Because & { fromBlock: bigint }>(world, command, async ({ connect, out }, _, options) => {
    const { funds } = (await connect()).services;
    const request = { fromBlock: options.fromBlock, reason: options.reason };
    await out.record(plain(RescanSchema, await funds.rescanDeposits(request, underKey(options))));
  });
}

/** @errors UsageError */
function blockNumber(text: string): bigint {
  if (/^[1-9][0-9]{0,15}$/.test(text) && BigInt(text) <= BigInt(Number.MAX_SAFE_INTEGER)) return BigInt(text);
  throw new UsageError(`${text} is no block to begin at.`, 'Write its number, 1 or more.');
}
