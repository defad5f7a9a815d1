/**
 * Which quote a payment by ERC-3009 is for, by its payer and the nonce that the payer chose.
 * Promise: said before anything of it leaves for the chain; the first quote has it, for ever; what somebody signed for another purpose
 * than this quote is not taken by whoever saw it.
 */
import { type Command, type Decider, type Decision, type Seen, textIn } from '@tallystick/kernel';
import { ownAddressOf } from './payout-address.ts';
import { type QuoteState, quoteStream } from './quote-state.ts';

export type AuthorizationState = {
  /** `assigned`, or empty before. */
  status: string;
  rail: string;
  /** Lower case, as the nonce. */
  payer: string;
  nonce: string;
  quote: string;
  /** Whose quote it is: whoever pays, the money is theirs. */
  principal: string;
};

/** `authorization:<rail>/<payer>/<nonce>`, lower case. */
export const authorizationStream = (rail: string, payer: string, nonce: string): string =>
  `authorization:${rail}/${payer}/${nonce}`;

export const authorization: Decider<AuthorizationState> = {
  kind: 'authorization',
  initial: { status: '', rail: '', payer: '', nonce: '', quote: '', principal: '' },
  reads: ({ body }) => ({ streams: [quoteStream(textIn(body, 'quote'))] }),
  decide(state, command, seen) {
    if (command.type !== 'AssignAuthorization')
      throw new TypeError(`an authorization knows no command ${command.type}`);
    return assign(state, command, seen);
  },
  evolve: (_state, { body }) => ({
    status: 'assigned',
    rail: textIn(body, 'rail'),
    payer: textIn(body, 'payer'),
    nonce: textIn(body, 'nonce'),
    quote: textIn(body, 'quote'),
    principal: textIn(body, 'principal'),
  }),
  owner: (state) => state.principal || null,
};

const STRANGE_NONCE =
  'a payer that is not the address of this account must sign the offer’s own nonce, extra.authNonce (auth_nonce of the quote)';

/** By the quote's own principal, while the quote waits for a payment. */
function assign(state: AuthorizationState, { stream, body, principal }: Command, seen: Seen): Decision {
  const [rail, payer, nonce] = [textIn(body, 'rail'), textIn(body, 'payer'), textIn(body, 'nonce')];
  if (stream !== authorizationStream(rail, payer, nonce))
    throw new TypeError(`${payer} ${nonce} of ${rail} is not what ${stream} stands for`);
  const quote = textIn(body, 'quote');
  const found = seen.state(quoteStream(quote)) as QuoteState;
  if (found.status === '' || found.principal !== principal || found.rail !== rail) return { rejection: 'NOT_FOUND' };
  if (state.quote === quote) return { rejection: 'NOTHING_TO_CHANGE' };
  if (state.quote !== '') return { rejection: 'ALREADY_EXISTS', facts: { id: nonce } };
  if (found.status !== 'open') return { rejection: 'NOTHING_TO_CHANGE' };
  if (!isMeantFor(found, payer, nonce))
    return { rejection: 'PAYMENT_INVALID', facts: { field: 'nonce', cause: STRANGE_NONCE } };
  const answer = { rail, payer, nonce, quote, principal };
  return { events: [{ type: 'AuthorizationAssigned', body: answer }], answer };
}

/** Who signs the offer's nonce means this quote; any other may have been signed for anything, and seen by anybody. */
const isMeantFor = ({ principal, auth_nonce }: QuoteState, payer: string, nonce: string): boolean =>
  nonce === auth_nonce || payer === ownAddressOf(principal).toLowerCase();
